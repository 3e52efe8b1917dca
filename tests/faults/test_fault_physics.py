"""Faults of encoders, converters, links, shutters and lenses against plain NumPy loops.

Only the draws are shared; everything computed from them is independent.
"""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from fault_cell import same

from lipfault.faults.collection import catalogue
from lipfault.faults.testing import SERIES, at_severity, probes

N = 6
SEVERITIES = (1, 3, 5)


def site_of(name, severity, which=0, count=N):
    return at_severity(probes(catalogue()[name])[which].rows(0, count), severity)


def applied(name, severity, which=0, count=N):
    """(site, signal, past, faulty reading, mask of the signal's shape), NumPy arrays."""
    site = site_of(name, severity, which, count)
    value, mask = catalogue()[name].apply(site)
    past = site.past.batch[site.past.samples] if site.signal.ndim == 4 else site.past
    mask = mask.expand_as(value).numpy()
    assert mask.any()
    return site, site.signal.double().numpy(), past.double().numpy(), value.numpy(), mask


def close(value, expected, mask, scale):
    """The largest error in units of the scale is one of float32."""
    error = (np.abs(value - expected) / scale)[mask]
    assert error.max(initial=0) < 2e-5


def spans(site):
    return site.sensor.span.double().numpy()[:, None], site.sensor.low.double().numpy()[:, None]


@pytest.mark.parametrize('severity', SEVERITIES)
def test_lost_counts_are_those_between_two_readings(severity):
    site, x, past, value, mask = applied('lost_counts', severity)
    span, low = spans(site)
    share = (0.005, 0.02, 0.06, 0.2, 0.6)[severity - 1]
    parts = torch.arange(256 * 6).view(1, 256, 6).expand(N, -1, -1)
    chance = site.draws.uniform_at('mark', parts).double().numpy()
    tape = np.concatenate([past, x], axis=2)
    for n in range(N):
        for c in range(6):
            marks = low[c] + (np.arange(256) + chance[n, :, c]) * span[c] / 256
            first = tape[n, c, 60 + int(site.start[n])]
            passed = [(marks < now).sum() - (marks < first).sum() for now in x[n, c]]
            expected = x[n, c] - share * span[c] / 256 * np.array(passed)
            close(value[n, c], expected, mask[n, c], span[c])


def test_lost_counts_change_nothing_at_rest():
    site = site_of('lost_counts', 5, count=50)
    first = site.onset_value
    resting = replace(site, signal=first.expand_as(site.signal), past=first.expand_as(site.past))
    value, _ = catalogue()['lost_counts'].apply(resting)
    assert torch.equal(value, resting.signal)


@pytest.mark.parametrize('severity', SEVERITIES)
def test_a_wrapped_reading_is_in_one_quarter_and_off_by_whole_quarters(severity):
    site, x, _, value, mask = applied('wrap', severity)
    span, _ = spans(site)
    rest = site.sensor.rest.double().numpy()[:, None]
    turn = span / 4
    seam = rest - turn * site.draws.uniform('seam', (6, 1)).numpy()
    turns = (x - value) / turn
    assert np.abs(turns - np.rint(turns))[mask].max() < 1e-4
    assert ((value > seam - 1e-4 * span) & (value < seam + turn + 1e-4 * span))[mask].all()
    inside = mask & (x > seam + 1e-4 * span) & (x < seam + turn - 1e-4 * span)
    assert np.abs(turns)[inside].max() < 1e-4
    shares = [applied('wrap', level)[4].mean() for level in SEVERITIES]
    assert shares[0] < shares[1] < shares[2]


@pytest.mark.parametrize('severity', SEVERITIES)
def test_backlash_by_the_recursion(severity):
    site, x, past, value, mask = applied('backlash', severity, count=30)
    span, _ = spans(site)
    half = (0.0005, 0.002, 0.008, 0.03, 0.12)[severity - 1] * span[:, 0] / 2
    tape = np.concatenate([past, x], axis=2)
    for n in range(30):
        start = 60 + int(site.start[n])
        for t in range(60, 120):
            first = max(start - 1, 0)
            state = tape[n, :, first]
            for step in range(first + 1, t + 1):
                play = half if step >= start else 0
                now = tape[n, :, step]
                state = np.minimum(np.maximum(state, now - play), now + play)
            close(value[n, :, t - 60], state, mask[n, :, t - 60], span[:, 0])


def test_backlash_returns_on_another_branch():
    """Known values: a play of 2 a makes a loop of width 2 a."""
    (site,) = probes(catalogue()['backlash'])
    site = at_severity(site.rows(0, 1), 5)
    half = 0.12 * site.sensor.span[0].item() / 2
    way = torch.cat([torch.linspace(0, 2, 30), torch.linspace(2, 0, 30)]).expand(1, 6, -1)
    site = replace(
        site,
        signal=way.clone(),
        past=torch.zeros(1, 6, 60),
        channels=torch.ones(1, 6, dtype=torch.bool),
        start=torch.tensor([-30]),
        stop=torch.tensor([60]),
    )
    value, _ = catalogue()['backlash'].apply(site)
    assert float(value[0, 0, 20] - way[0, 0, 20]) == pytest.approx(-half, rel=1e-4)
    assert float(value[0, 0, 45] - way[0, 0, 45]) == pytest.approx(half, rel=1e-4)
    assert float(value[0, 0, 29]) == pytest.approx(float(value[0, 0, 31]), rel=1e-6)  # held


def chain(site, row, enter, leave, memory):
    """State of the two-state chain at each step, step by step from the onset."""
    time = torch.arange(-memory, 60)
    chance = site.draws.uniform_at('burst', time.expand(len(site.signal), 1, -1))[row, 0].numpy()
    state, found = False, []
    for step, u in zip(time.tolist(), chance, strict=True):
        if step < int(site.start[row]):
            state = False
        elif step == int(site.start[row]):
            state = True
        else:
            state = u < 1 - leave if state else u < enter
        found.append(state)
    return np.array(found)


@pytest.mark.parametrize('severity', SEVERITIES)
def test_noise_bursts(severity):
    site, x, _, value, mask = applied('noise_burst', severity, count=30)
    level = (6, 12, 25, 50, 100)[severity - 1]
    span, _ = spans(site)
    scale = np.minimum(level * site.sensor.noise.double().numpy()[:, None], 0.3 * span)
    noise = site.draws.normal_at('noise', site.counter).numpy()
    close(value, x + scale * noise, mask, span)
    for n in range(30):
        burst = chain(site, n, 1 / 15, 1 / 3, 200)[200:]  # 50 ms and 250 ms at 60 Hz
        assert (mask[n] == site.mask[n].numpy() & burst).all()


@pytest.mark.parametrize('severity', SEVERITIES)
def test_packet_loss(severity):
    site, x, past, value, mask = applied('packet_loss', severity, count=30)
    share = (0.05, 0.1, 0.2, 0.4, 0.7)[severity - 1]
    tape = np.concatenate([past, x], axis=2)
    for n in range(30):
        leave = 1 / (60 * min(share, 0.1))  # of s seconds, 100 ms at most, at 60 Hz
        lost = chain(site, n, share / (1 - share) * leave, leave, 200)
        assert (mask[n] == site.mask[n].numpy() & lost[200:]).all()
        for t in range(60):
            last = 200 + t
            while lost[last]:
                last -= 1
            expected = tape[n, :, max(60 + last - 200, 0)]
            close(value[n, :, t], expected, mask[n, :, t], 1.0)


def test_the_share_of_lost_packets_and_the_length_of_bursts():
    (site,) = probes(catalogue()['packet_loss'])
    zero = torch.zeros_like(site.start)
    long = torch.zeros(len(zero), 6, 1500)
    site = replace(
        at_severity(site, 3), signal=long, start=zero - 100, stop=zero + 1500, clock=zero + 7
    )
    _, mask = catalogue()['packet_loss'].apply(replace(site, channels=site.channels | True))
    lost = mask[:, 0].numpy()
    assert lost.mean() == pytest.approx(0.2, abs=0.01)
    ends = (lost[:, :-1] & ~lost[:, 1:]).sum()
    assert lost[:, :-1].sum() / ends == pytest.approx(6, rel=0.05)


@pytest.mark.parametrize('which', [0, 1])
@pytest.mark.parametrize('severity', SEVERITIES)
def test_rolling_shutter(severity, which):
    _, x, past, value, mask = applied('rolling_shutter', severity, which)
    age = (0.1, 0.2, 0.4, 0.7, 1.0)[severity - 1]
    weight = age * (1 - (np.arange(24) + 0.5) / 24)[:, None]
    close(value, (1 - weight) * x + weight * past[:, -1], mask, 1.0)


@pytest.mark.parametrize('severity', SEVERITIES)
def test_flicker(severity):
    site, x, _, value, mask = applied('flicker', severity)
    depth = (0.03, 0.07, 0.15, 0.3, 0.6)[severity - 1]
    bands = 1 + 3 * site.draws.uniform('bands').double().numpy()[:, None, None, None]
    phase = site.frame.uniform('phase').double().numpy()[:, None, None, None]
    row = np.arange(24)[:, None]
    close(value, x * (1 + depth * np.sin(2 * np.pi * (bands * row / 24 + phase))), mask, 1.0)


def test_exposure_hunting_is_a_sine_over_frames():
    (site, _) = probes(catalogue()['exposure_hunting'])
    site = at_severity(site.rows(0, N), 4)
    rate = 0.1 + 0.3 * site.draws.uniform('rate').double().numpy()
    phase = site.draws.uniform('phase').double().numpy()
    for frame in (0, 7, 100000):
        numbered = replace(site, clock=torch.full((N,), frame))
        value, mask = catalogue()['exposure_hunting'].apply(numbered)
        gain = 2 ** (0.7 * np.sin(2 * np.pi * (frame * rate + phase)))
        expected = site.signal.double().numpy() * gain[:, None, None, None]
        close(value.numpy(), expected, mask.expand_as(value).numpy(), 1.0)


@pytest.mark.parametrize('severity', SEVERITIES)
def test_dropped_packets_show_what_arrived_last(severity):
    site, x, past, value, mask = applied('frame_drop', severity, count=40)
    share = (0.005, 0.03, 0.15, 0.5, 1.0)[severity - 1]
    height, width = x.shape[2:]
    number = -torch.arange(5)[:, None] * height * 8 + torch.arange(height * 8)
    chance = site.draws.uniform_at('dropped', number.expand(40, -1, -1)).numpy()
    sure = site.draws.integers('arrives', 0, 4).numpy()
    film = np.concatenate([past, x[:, None]], axis=1)
    for n, row, column in np.ndindex(40, height, width):
        packet, count = row * 8 + column * 8 // width, 0
        while chance[n, count, packet] < share and -count % 5 != sure[n]:
            count += 1
        close(value[n, :, row, column], film[n, 5 - count, :, row, column], True, 1.0)
        assert bool(mask[n, 0, row, column]) == (count > 0)


def test_a_dropped_packet_repeats_the_observed_one_before():
    now, before = (at_severity(site, 4) for site in probes(catalogue()['frame_drop']))
    shown, mask = catalogue()['frame_drop'].apply(now)
    previous, _ = catalogue()['frame_drop'].apply(before)
    dropped = mask.expand_as(shown)
    assert dropped.float().mean() > 0.3
    assert same(shown[dropped], previous[dropped])


@pytest.mark.parametrize('severity', SEVERITIES)
def test_white_balance(severity):
    site, x, _, value, mask = applied('white_balance', severity)
    stops = (0.05, 0.12, 0.3, 0.7, 1.5)[severity - 1]
    gain = site.draws.uniform('gain', (3,)).double().numpy()
    gain -= gain.mean(1, keepdims=True)
    gain *= stops / np.abs(gain).max(1, keepdims=True)
    close(value, x * (2**gain)[:, :, None, None], mask, 1.0)


@pytest.mark.parametrize('severity', SEVERITIES)
def test_stripes(severity):
    site, x, _, value, mask = applied('stripes', severity)
    size = (0.006, 0.015, 0.04, 0.1, 0.25)[severity - 1]
    columns = site.draws.normal('columns', (20,)).numpy()
    close(value, x + size * columns[:, None, None, :], mask, 1.0)


@pytest.mark.parametrize('severity', SEVERITIES)
def test_vignetting(severity):
    _, x, _, value, mask = applied('vignetting', severity)
    loss = (0.05, 0.12, 0.3, 0.6, 1.0)[severity - 1]
    down, right = np.meshgrid(np.arange(24) - 11.5, np.arange(20) - 9.5, indexing='ij')
    square = ((down / 12) ** 2 + (right / 10) ** 2) / 2
    close(value, x * (1 - loss * square), mask, 1.0)


@pytest.mark.parametrize('severity', SEVERITIES)
def test_an_index_error_is_whole_counts(severity):
    site, x, _, value, mask = applied('index_error', severity)
    counts = (2, 10, 50, 250, 2000)[severity - 1]
    quantum = np.array(SERIES.steps)[:, None]
    sign = site.draws.sign('sign', (6, 1)).numpy()
    close(value, x + sign * counts * quantum, mask, 1.0)


@pytest.mark.parametrize('severity', SEVERITIES)
def test_a_stuck_bit_is_one_bit_of_every_code(severity):
    site, x, _, value, mask = applied('stuck_bit', severity)
    span, low = spans(site)
    share = (0.0005, 0.003, 0.02, 0.1, 0.5)[severity - 1]
    one = site.draws.sign('value', (6, 1)).numpy()[..., 0] > 0
    for n in range(N):
        for c in range(6):
            quantum = SERIES.steps[c]
            bit = max(round(math.log2(share * span[c, 0] / quantum)), 0)
            for t in np.flatnonzero(mask[n, c]):
                code = round((x[n, c, t] - low[c, 0]) / quantum)
                digits = list(f'{code:032b}')
                digits[31 - bit] = '1' if one[n, c] else '0'
                stuck = int(''.join(digits), 2)
                assert value[n, c, t] - x[n, c, t] == pytest.approx(
                    (stuck - code) * quantum, abs=2e-6 * span[c, 0]
                )
