"""Faults of the time of a reading run forwards, from the reading at the onset on."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from lipfault.faults.collection import NAMES, catalogue
from lipfault.faults.testing import at_severity, probes

READERS = ['aliasing', 'clock_skew', 'delay', 'duplication', 'jitter', 'packet_loss']
"""Kinds whose reading is a sample of an earlier instant, or between two of them."""

MEMORIES = [*READERS, 'backlash', 'dropout_hold', 'low_pass', 'stuck']

N = 40


def ramp_site(name, severity):
    """The probe with x(t) = t on all channels, so that a reading is the instant it was read."""
    (site,) = probes(catalogue()[name])
    site = at_severity(site, severity).rows(0, N)
    time = torch.arange(-60.0, 60.0).expand(N, 6, -1)
    return replace(site, past=time[..., :60].clone(), signal=time[..., 60:].clone())


@pytest.mark.parametrize('severity', [1, 3, 5])
@pytest.mark.parametrize('name', READERS)
def test_read_instants_never_decrease_and_lie_between_onset_and_now(name, severity):
    site = ramp_site(name, severity)
    value, mask = catalogue()[name].apply(site)
    mask = mask.expand_as(value)
    assert mask.any()
    read = torch.where(mask, value, site.signal)
    # A burst that begins at the onset repeats the sample before it.
    oldest = site.start - int(name == 'packet_loss')
    late = (read < oldest[:, None, None]) & mask
    assert not late.any()
    assert not (read > site.signal).any()
    inside = site.mask[..., 1:] & site.mask[..., :-1]
    assert not ((read.diff() < 0) & inside).any()
    assert bool((read < site.signal).any())


@pytest.mark.parametrize('severity', [1, 5])
@pytest.mark.parametrize('name', MEMORIES)
def test_nothing_is_read_from_the_future(name, severity):
    fault = catalogue()[name]
    (site,) = probes(fault)
    site = at_severity(site, severity).rows(0, N)
    changed = site.signal.clone()
    changed[..., 30:] += 1.0
    before, after = fault.apply(site), fault.apply(replace(site, signal=changed))
    assert torch.equal(before[0][..., :30], after[0][..., :30])
    assert torch.equal(before[1], after[1])


@pytest.mark.parametrize('name', ['aliasing', 'delay', 'jitter', 'low_pass', 'clock_skew'])
def test_the_reading_begins_at_the_true_one(name):
    fault = catalogue()[name]
    (site,) = probes(fault)
    site = at_severity(site, 5)
    chosen = (site.start >= 0).nonzero()[:, 0]
    value, _ = fault.apply(site)
    start = site.start[chosen]
    onset = site.signal[chosen, :, start]
    scale = site.sensor.span
    assert float(((value[chosen, :, start] - onset).abs() / scale).max()) < 1e-6


def test_a_delay_holds_the_reading_of_the_onset_until_the_delayed_one_arrives():
    site = ramp_site('delay', 4)
    value, _ = catalogue()['delay'].apply(site)
    for row in range(N):
        start = int(site.start[row])
        for step in range(max(start, 0), 60):
            expected = max(step - 24, start)  # 0.4 s at 60 Hz
            assert float(value[row, 0, step]) == pytest.approx(expected, abs=1e-4)


def test_jitter_keeps_its_distribution_within_a_period():
    """By an independent queue: each packet waits J v, and none overtakes the one before."""
    site = ramp_site('jitter', 4)
    value, mask = catalogue()['jitter'].apply(site)
    for row in range(N):
        time = torch.arange(-200, 60)
        chance = site.draws.uniform_at('late', time.expand(N, 1, -1))[row, 0].double().numpy()
        newest = -np.inf
        for step, late in zip(time.tolist(), chance, strict=True):
            newest = max(newest, step - 24 * late)
            if step >= 0 and bool(mask[row, :, step].any()):
                expected = max(newest, int(site.start[row]))
                assert float(value[row, 0, step]) == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize('severity', [1, 3, 5])
def test_duplicated_samples_come_twice_and_in_order(severity):
    site = ramp_site('duplication', severity)
    value, mask = catalogue()['duplication'].apply(site)
    each = (50, 20, 10, 5, 2)[severity - 1]
    stream = []
    for number in range(200):
        stream += [number] * (1 + (number > 0 and number % each == 0))
    for row in range(N):
        start, stop = int(site.start[row]), int(site.stop[row])
        for step in range(max(start, 0), stop):
            expected = max(start + stream[step - start], step - 30)  # a buffer of 0.5 s
            if bool(mask[row, :, step].any()):
                assert float(value[row, 0, step]) == expected


@pytest.mark.parametrize('severity', [1, 3, 5])
def test_a_slow_clock_falls_behind_in_proportion(severity):
    site = ramp_site('clock_skew', severity)
    value, _ = catalogue()['clock_skew'].apply(site)
    error = (0.005, 0.015, 0.04, 0.12, 0.35)[severity - 1]
    for row in range(N):
        start = int(site.start[row])
        for step in range(max(start, 0), 60):
            expected = step - min(error * (step - start), 30)
            assert float(value[row, 0, step]) == pytest.approx(expected, abs=1e-3)


def test_kinds_of_this_file_are_in_the_catalogue():
    assert set(MEMORIES) <= set(NAMES)
