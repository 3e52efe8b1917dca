"""Faults against a second implementation: plain NumPy loops written from the formulas.

Only the draws are shared; everything computed from them is independent.
"""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from fault_cell import CELL
from scipy import fft, ndimage

from lipfault.faults.collection import NAMES, catalogue
from lipfault.faults.config import FaultConfig
from lipfault.faults.draws import Draws
from lipfault.faults.engine import FaultEngine
from lipfault.faults.testing import at_severity, probes

N = 4
SEVERITIES = (1, 3, 5)


def site_of(name, severity, which=0):
    return at_severity(probes(catalogue()[name])[which].rows(0, N), severity)


def arrays(site):
    """(signal, past, low, span, noise) as float64 arrays."""
    sensor = site.sensor
    past = site.past.batch[site.past.samples] if site.signal.ndim == 4 else site.past
    return [
        np.asarray(each, dtype=np.float64)
        for each in (site.signal, past, sensor.low, sensor.span, sensor.noise)
    ]


def compare(name, severity, expected, which=0):
    """The fault inside its mask equals the expected (n, ...) array."""
    site = site_of(name, severity, which)
    value, mask = catalogue()[name].apply(site)
    mask = mask.expand_as(value).numpy()
    assert mask.any()
    scale = np.ptp(site.signal.numpy(), axis=(0, *range(2, value.ndim)), keepdims=True)
    error = (np.abs(value.numpy() - expected) / scale)[mask]
    assert error.max() < 2e-5


def amplitude(multiples, severity, span, noise):
    return np.minimum(multiples[severity - 1] * noise, span)


@pytest.mark.parametrize('severity', SEVERITIES)
def test_bias(severity):
    site = site_of('bias', severity)
    x, _, _, span, noise = arrays(site)
    size = amplitude((1.5, 3.5, 10, 30, 200), severity, span, noise)
    sign = site.draws.sign('sign', (6, 1)).numpy()
    compare('bias', severity, x + sign * size[:, None])


@pytest.mark.parametrize('severity', SEVERITIES)
@pytest.mark.parametrize(
    ('name', 'shape'),
    [
        ('drift_linear', lambda u: u),
        ('drift_exponential', lambda u: (math.exp(4 * u) - 1) / (math.exp(4) - 1)),
        ('drift_logarithmic', lambda u: math.log(1 + 20 * u) / math.log(21)),
    ],
)
def test_drift(name, shape, severity):
    site = site_of(name, severity)
    x, _, _, span, noise = arrays(site)
    size = amplitude((3, 7, 20, 60, 500), severity, span, noise)
    sign = site.draws.sign('sign', (6, 1)).numpy()[:, :, 0]
    expected = x.copy()
    for n in range(N):
        for t in range(x.shape[2]):
            gone = (t - int(site.start[n]) + 1) / int(site.horizon[n])
            expected[n, :, t] += sign[n] * size * shape(min(max(gone, 0), 1))
    compare(name, severity, expected)


@pytest.mark.parametrize('severity', SEVERITIES)
def test_gain(severity):
    site = site_of('gain', severity)
    x = arrays(site)[0]
    up = site.draws.sign('side', (6, 1)).numpy() > 0
    factor = 1 + (0.01, 0.03, 0.1, 0.3, 1.0)[severity - 1]
    compare('gain', severity, np.where(up, x * factor, x / factor))


@pytest.mark.parametrize('severity', SEVERITIES)
def test_low_pass(severity):
    site = site_of('low_pass', severity)
    x, past, *_ = arrays(site)
    steps = max(round((0.05, 0.1, 0.2, 0.4, 0.8)[severity - 1] * 60), severity)
    tape, earlier = np.concatenate([past, x], axis=2), past.shape[2]
    expected = x.copy()
    for n in range(N):
        first = max(int(site.start[n]) + earlier, 0)
        state = tape[n, :, first]
        for t in range(first, tape.shape[2]):
            state = state + (1 - math.exp(-1 / steps)) * (tape[n, :, t] - state)
            if t >= earlier:
                expected[n, :, t - earlier] = state
    compare('low_pass', severity, expected)


@pytest.mark.parametrize('severity', SEVERITIES)
def test_delay(severity):
    site = site_of('delay', severity)
    x, past, *_ = arrays(site)
    late = max(round((0.05, 0.1, 0.2, 0.4, 0.8)[severity - 1] * 60), severity)
    tape = np.concatenate([past, x], axis=2)
    expected = x.copy()
    for n in range(N):
        for t in range(60):
            expected[n, :, t] = tape[n, :, 60 + max(t - late, int(site.start[n]))]
    compare('delay', severity, expected)


@pytest.mark.parametrize('severity', SEVERITIES)
def test_stuck(severity):
    site = site_of('stuck', severity)
    x, past, *_ = arrays(site)
    tape = np.concatenate([past, x], axis=2)
    held = (0.2, 0.35, 0.5, 0.8, 1e6)[severity - 1] * 60
    expected = x.copy()
    for n in range(N):
        start = int(site.start[n])
        for t in range(max(start, 0), x.shape[2]):
            last = start + int((t - start) // round(held)) * round(held)
            expected[n, :, t] = tape[n, :, 60 + last]
    compare('stuck', severity, expected)


@pytest.mark.parametrize('severity', SEVERITIES)
def test_channel_swap(severity):
    site = site_of('channel_swap', severity)
    x, _, low, span, noise = arrays(site)
    shares = np.minimum((6, 20, 60, 300, 1e6)[severity - 1] * noise / span, 1)
    expected = x.copy()
    for n in range(N):
        chosen = [c for c in range(6) if site.channels[n, c]]
        for place, c in enumerate(chosen):
            other = chosen[(place + 1) % len(chosen)]
            counts = (x[n, other] - low[other]) / span[other]
            foreign = low[c] + span[c] * counts
            expected[n, c] = (1 - shares[c]) * x[n, c] + shares[c] * foreign
    compare('channel_swap', severity, expected)


@pytest.mark.parametrize('severity', SEVERITIES)
def test_quantization(severity):
    site = site_of('quantization', severity)
    x, _, _, span, noise = arrays(site)
    step = amplitude((5, 12, 35, 100, 700), severity, span, noise)[:, None]
    quantum = np.exp2(np.floor(np.log2(noise / 8)))[:, None]
    shift = site.draws.uniform('shift', (6, 1)).numpy()
    value, mask = catalogue()['quantization'].apply(site)
    expected = step * (np.rint(x / step + shift) - shift)
    off = (np.abs(value.numpy() - expected) / step)[mask.numpy()]
    # The codes are on the sensor's grid; float32 may round x / step the other way.
    half = np.broadcast_to(quantum / step / 2 + 1e-4, x.shape)[mask.numpy()]
    assert (np.minimum(off, np.abs(off - 1)) < half).all()
    assert (off > 0.5).mean() < 0.01
    assert np.abs(value.numpy() / quantum - np.rint(value.numpy() / quantum)).max() < 1e-3


@pytest.mark.parametrize('severity', SEVERITIES)
def test_dropout_hold(severity):
    site = site_of('dropout_hold', severity)
    x, past, *_ = arrays(site)
    tape = np.concatenate([past, x], axis=2)
    length = (site.horizon * (0.02 + 0.08 * site.draws.uniform('block'))).long().clamp_min(1)
    block = np.arange(-60, 60)[None, None] - site.start[:, None, None].numpy()
    block = block // length[:, None, None].numpy()
    chance = site.draws.uniform_at('lost', site.age.new_tensor(block)).numpy()
    lost = (chance < (0.1, 0.25, 0.5, 0.75, 1.0)[severity - 1]) | (block == 0)
    lost = lost[:, 0] & (np.arange(-60, 60) >= site.start[:, None].numpy())
    expected = x.copy()
    for n in range(N):
        for t in range(60):
            good = t + 60
            while good >= 0 and lost[n, good]:
                good -= 1
            oldest = int(site.start[n]) + 60
            expected[n, :, t] = tape[n, :, good if good >= 0 else oldest]
    compare('dropout_hold', severity, expected)


@pytest.mark.parametrize('severity', SEVERITIES)
def test_aliasing(severity):
    site = site_of('aliasing', severity)
    x, past, *_ = arrays(site)
    period = round((0.1, 0.2, 0.3, 0.5, 0.8)[severity - 1] * 60)
    tape = np.concatenate([past, x], axis=2)
    expected = x.copy()
    for n in range(N):
        start = int(site.start[n])
        for t in range(max(start, 0), 60):
            newest = t - (t - start) % period
            kept = [60 + max(newest - period, start), 60 + newest]
            share = (t - newest) / period
            expected[n, :, t] = tape[n, :, kept[0]] * (1 - share) + tape[n, :, kept[1]] * share
    compare('aliasing', severity, expected)


def test_aliasing_of_less_than_two_steps_is_a_share_of_it():
    site = replace(site_of('aliasing', 1), strength=torch.full((N,), 0.75))
    steps = 0.1 * 0.1 * 60  # a decade below the first level: 0.6 steps
    tape = np.concatenate([site.past.numpy(), site.signal.numpy()], axis=2).astype(np.float64)
    value, mask = catalogue()['aliasing'].apply(site)
    assert mask.any()
    for n, c, t in mask.nonzero().tolist():
        start = int(site.start[n])
        newest = t - (t - start) % 2
        old, new = tape[n, c, 60 + max(newest - 2, start)], tape[n, c, 60 + newest]
        reading = old + (new - old) * (t - newest) / 2
        expected = tape[n, c, 60 + t] + (reading - tape[n, c, 60 + t]) * steps / 2
        assert float(value[n, c, t]) == pytest.approx(expected, rel=1e-4, abs=1e-4)


@pytest.mark.parametrize('severity', SEVERITIES)
def test_defocus(severity):
    x = arrays(site_of('defocus', severity))[0]
    pixels = (0.003, 0.01, 0.03, 0.08, 0.25)[severity - 1] * 20
    width = max(round(pixels), 2)
    before = width // 2
    expected = x
    for axis in (2, 3):
        for back, ahead in ((before, width - before), (width - before - 1, before + 1)):
            size = x.shape[axis]
            columns = [
                expected.take(range(max(c - back, 0), min(c + ahead, size)), axis).mean(axis)
                for c in range(size)
            ]
            expected = np.stack(columns, axis)
    part = min(pixels / 2, 1)
    compare('defocus', severity, (1 - part) * x + part * expected)


@pytest.mark.parametrize('severity', SEVERITIES)
def test_blocking(severity):
    x = arrays(site_of('blocking', severity))[0]
    coarse = (0.005, 0.015, 0.05, 0.15, 0.5)[severity - 1]
    padded = np.pad(x, ((0, 0), (0, 0), (0, 0), (0, 4)), mode='edge')
    expected = padded.copy()
    step = coarse * (1 + np.arange(8)[:, None] + np.arange(8))
    for row in range(0, 24, 8):
        for column in range(0, 24, 8):
            block = padded[:, :, row : row + 8, column : column + 8]
            kept = np.rint(fft.dctn(block, axes=(2, 3), norm='ortho') / step) * step
            back = fft.idctn(kept, axes=(2, 3), norm='ortho')
            expected[:, :, row : row + 8, column : column + 8] = back
    compare('blocking', severity, expected[..., :20])


@pytest.mark.parametrize('severity', SEVERITIES)
def test_knock(severity):
    site = site_of('knock', severity)
    x = arrays(site)[0]
    degrees = (0.05, 0.2, 1, 5, 20)[severity - 1]
    side = site.draws.sign('side').numpy()
    heading = 2 * np.pi * site.draws.uniform('heading').numpy()
    expected = x.copy()
    for n in range(N):
        angle = np.deg2rad(degrees) * side[n]
        turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        shift = degrees / 60 * 20 * np.array([np.sin(heading[n]), np.cos(heading[n])])
        middle = np.array([11.5, 9.5])
        for c in range(3):
            expected[n, c] = ndimage.affine_transform(
                x[n, c], turn, middle - turn @ middle + shift, order=1, mode='nearest'
            )
    compare('knock', severity, expected)


@pytest.mark.parametrize('severity', SEVERITIES)
def test_motion_blur(severity):
    site = site_of('motion_blur', severity)
    x = arrays(site)[0]
    pixels = (0.003, 0.01, 0.04, 0.12, 0.4)[severity - 1] * 20
    length = max(pixels, 2)
    angle = np.pi * site.draws.uniform('angle').double().numpy()
    expected = np.zeros_like(x)
    for n in range(N):
        for tap in range(9):
            down = np.rint(length * np.sin(angle[n]) * (tap / 8 - 0.5))
            right = np.rint(length * np.cos(angle[n]) * (tap / 8 - 0.5))
            rows = np.clip(np.arange(24) + int(down), 0, 23)
            columns = np.clip(np.arange(20) + int(right), 0, 19)
            expected[n] += x[n][:, rows][:, :, columns] / 9
    part = min(pixels / 2, 1)
    compare('motion_blur', severity, (1 - part) * x + part * expected)


@pytest.mark.parametrize('severity', SEVERITIES)
def test_tear(severity):
    site = site_of('tear', severity)
    x = arrays(site)[0]
    shift = (0.002, 0.01, 0.04, 0.12, 0.4)[severity - 1] * 20 * site.draws.sign('side').numpy()
    expected = np.stack(
        [ndimage.shift(x[n], (0, 0, shift[n]), order=1, mode='grid-wrap') for n in range(N)]
    )
    compare('tear', severity, expected)
    line = site.frame.uniform('line').numpy() * 16
    _, mask = catalogue()['tear'].apply(site)
    torn = np.arange(24)[None] >= line[:, None]
    assert (mask[:, 0, :, 0].numpy() == torn).all()


@pytest.mark.parametrize('severity', SEVERITIES)
def test_shot_noise(severity):
    site = site_of('shot_noise', severity)
    x = arrays(site)[0]
    noise = site.frame.normal('noise', x.shape[1:]).numpy()
    photons = (1000, 200, 60, 15, 4)[severity - 1]
    compare('shot_noise', severity, x + np.sqrt(x / photons) * noise)


@pytest.mark.parametrize('severity', SEVERITIES)
@pytest.mark.parametrize('which', [0, 1], ids=['series', 'image'])
def test_desynchronization(severity, which):
    site = site_of('desynchronization', severity, which)
    x, past, *_ = arrays(site)
    seconds = (0.05, 0.1, 0.2, 0.4, 0.8)[severity - 1]
    if which == 0:
        tape, late = np.concatenate([past, x], axis=2), round(seconds * 60)
        expected = x.copy()
        for n in range(N):
            for t in range(60):
                expected[n, :, t] = tape[n, :, 60 + max(t - late, int(site.start[n]))]
    else:
        expected = past[:, -min(max(round(seconds * 10), 1), 5)]
    compare('desynchronization', severity, expected, which)


@pytest.mark.parametrize('severity', SEVERITIES)
@pytest.mark.parametrize('which', [0, 1], ids=['series', 'image'])
def test_sensor_swap(severity, which):
    site = site_of('sensor_swap', severity, which)
    compare('sensor_swap', severity, site.other.double().numpy(), which)
    share = (0.1, 0.25, 0.5, 0.75, 1.0)[severity - 1]
    _, mask = catalogue()['sensor_swap'].apply(site)
    if which == 1:
        expected = np.arange(480) >= 480 - math.ceil(round(480 * share, 6))
        assert (mask.flatten(1).numpy() == expected).all()
        return
    lengths = (site.horizon * (0.02 + 0.08 * site.draws.uniform('block'))).long().clamp_min(1)
    for n, length in enumerate(lengths.tolist()):
        age = np.arange(60) - int(site.start[n])
        block = torch.from_numpy(age // length).expand(N, 1, -1)
        chance = site.draws.uniform_at('lost', block)[n, 0].numpy()
        lost = ((chance < np.float32(share)) | (age < length)) & (age >= 0)
        wanted = np.outer(site.channels[n].numpy(), lost & (np.arange(60) < int(site.stop[n])))
        assert (mask[n].numpy() == wanted).all()


COUPLED = FaultConfig(pattern_share=1.0, clean_share=0.0, severities={2: 1.0, 4: 2.0})


def plan_of(pattern, count=200, **options):
    """(plan of one pattern, its draws) for all modalities of the cell."""
    config = replace(COUPLED, patterns={pattern: 1.0}, **options)
    return FaultEngine(CELL, config).plan(torch.arange(count)), Draws.of(0, 0, torch.arange(count))


def shared_by(columns, row, members):
    """Severity and onset of some modalities, which must be one."""
    found = {(int(columns.severity[row, m]), float(columns.begin[row, m])) for m in members}
    assert len(found) == 1
    return found.pop()


def test_swapped_sensors():
    plan, draws = plan_of('swapped')
    names, kind = list(CELL), NAMES.index('sensor_swap')
    pairs = [(names.index('front'), names.index('side'))]
    for row, pair in enumerate(draws.integers('pair', 0, len(pairs) - 1).tolist()):
        one, other = pairs[pair]
        wanted = [-1] * len(names)
        wanted[one], wanted[other] = other, one
        assert plan.columns.partner[row].tolist() == wanted
        assert plan.columns.kind[row].tolist() == [kind if p >= 0 else -1 for p in wanted]
        severity, _ = shared_by(plan.columns, row, (one, other))
        first = np.float32(draws.uniform('severity', (4,))[row, 0])
        assert severity == (2 if float(first) < 1 / 3 else 4)


def order_of(draws, row):
    """The modalities in the order in which they are drawn, all of one weight."""
    chance = 1 - draws.uniform('modality', (len(CELL),))[row].double().numpy()
    return sorted(range(len(CELL)), key=lambda m: -math.log(chance[m]))


def test_several_sensors():
    plan, draws = plan_of('several', max_faulty=3)
    kinds = {name: [f for f in catalogue().values() if f.fits(CELL[name])] for name in CELL}
    for row in range(200):
        count = 2 + int(float(draws.uniform('several')[row]) * 2)
        chosen = set(order_of(draws, row)[:count])
        assert {m for m in range(4) if plan.columns.kind[row, m] >= 0} == chosen
        for m in chosen:
            name = list(CELL)[m]
            fits = [f.name for f in kinds[name] if f.family != 'cross' and not f.missing]
            place = int(float(draws.uniform('kind', (4,))[row, m]) * len(fits))
            assert NAMES[plan.columns.kind[row, m]] == fits[place]


def test_one_cause_for_a_cabinet():
    cabinets = {'left': ['front', 'arm'], 'right': ['front', 'side', 'force']}
    plan, draws = plan_of('common_cause', max_faulty=3, cabinets=cabinets)
    causes = [
        ('dropout_zero', 'blackout'),
        ('noise_additive', 'gaussian_noise'),
        ('oscillation', 'motion_blur'),
        ('desynchronization', 'desynchronization'),
    ]
    for row in range(200):
        cabinet = list(cabinets.values())[int(float(draws.uniform('cabinet')[row]) * 2)]
        series, image = causes[int(float(draws.uniform('cause')[row]) * 4)]
        for m, name in enumerate(CELL):
            shown = series if CELL[name].kind == 'series' else image
            kind = plan.columns.kind[row, m]
            assert (NAMES[kind] if kind >= 0 else None) == (shown if name in cabinet else None)
        shared_by(plan.columns, row, [list(CELL).index(name) for name in cabinet])


def test_brownian_drift_has_brownian_variance():
    fault = catalogue()['drift_walk']
    (site,) = probes(fault)
    n = len(site.signal)
    zero = site.start * 0
    site = replace(
        site,
        signal=site.signal * 0,
        start=zero,
        stop=zero + 60,
        horizon=zero + 60,
        severity=zero + 3,
    )
    walk = fault.apply(site)[0] / site.amplitude(fault.levels)
    for step in (14, 29, 59):
        spread = walk[:, :, step].square().mean().item()
        assert spread == pytest.approx((step + 1) / 60, rel=4 * math.sqrt(2 / (6 * n)))
    ends = walk[:, :, 29] * (walk[:, :, 59] - walk[:, :, 29])  # increments are independent
    assert abs(ends.mean().item()) < 4 * 0.5 / math.sqrt(6 * n)
