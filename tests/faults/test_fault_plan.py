"""Times, labels and draws of faults have the values that their documentation states."""

from dataclasses import replace

import pytest
import torch
from fault_cell import CELL, batch

from lipfault.faults.config import FaultConfig
from lipfault.faults.draws import Draws
from lipfault.faults.engine import FaultEngine
from lipfault.faults.fault import Sensor
from lipfault.faults.series.site import SeriesSite

IDS = torch.arange(6000)
SERIES = torch.tensor([modality.kind == 'series' for modality in CELL.values()])


@pytest.fixture(scope='module')
def columns():
    """Draw the faults of many samples, each modality of each sample."""
    config = FaultConfig(clean_share=0.0, whole_share=0.4, max_faulty=4, all_faulty=True)
    return FaultEngine(CELL, replace(config, pattern_share=0.0)).plan(IDS).columns


def spans(values, low, high):
    """Whether values fill an interval evenly: both ends are approached, and the mean is central."""
    middle, width = (low + high) / 2, high - low
    assert low <= values.min() < low + 0.02 * width
    assert high - 0.02 * width < values.max() <= high
    assert abs(values.double().mean() - middle) < 0.02 * width


def test_a_fault_of_the_whole_window_began_up_to_one_window_ago(columns):
    whole = columns.begin < 0
    assert abs(whole.float().mean() - 0.4) < 0.02
    spans(columns.begin[whole], -1.0, 0.0)
    assert bool((columns.end[whole] == 2).all())


def test_another_fault_begins_in_the_first_nine_tenths(columns):
    spans(columns.begin[columns.begin >= 0], 0.0, 0.9)


def test_half_of_the_others_end_after_a_tenth_to_all_of_the_rest(columns):
    later = (columns.begin >= 0) & SERIES
    ends = later & (columns.end < 2)
    assert abs(ends.sum() / later.sum() - 0.5) < 0.02
    share = (columns.end - columns.begin) / (1 - columns.begin)
    spans(share[ends], 0.1, 1.0)
    assert columns.end[ends].max() <= 1 + 1e-6


def test_a_fault_of_an_image_does_not_end_in_its_window(columns):
    assert bool((columns.end[:, ~SERIES] == 2).all())


@pytest.mark.parametrize('window_s', [0.5, 2.0])
def test_the_onset_is_in_seconds_and_where_the_mask_begins(window_s):
    signals, history, ids = batch(torch.arange(200), window_s=window_s)
    config = FaultConfig(kinds={'bias': 1.0}, clean_share=0.0, whole_share=0.0)
    engine = FaultEngine(CELL, config)
    _, labels = engine(signals, history, ids)
    expected = engine.plan(ids).columns.begin * window_s
    for name in ('arm', 'force'):
        index, rate_hz = list(CELL).index(name), CELL[name].rate_hz
        faulty = labels.modality[:, index]
        assert faulty.sum() > 50
        onset = labels.onset[faulty, index]
        torch.testing.assert_close(onset, expected[faulty, index])
        # The first faulty step is the last one that is not after the onset.
        first = labels.mask[name][faulty].any(1).float().argmax(1) / rate_hz
        assert bool((first <= onset + 1e-6).all())
        assert bool((onset < first + 1 / rate_hz + 1e-6).all())


@pytest.mark.parametrize(
    ('name', 'kind'),
    [('arm', 'noise_additive'), ('arm', 'bias'), ('front', 'gaussian_noise')],
)
def test_two_modalities_that_are_alike_get_independent_draws(name, kind):
    twins = {each: replace(CELL[name], name=each) for each in ('left', 'right')}
    signals, history, ids = batch(torch.arange(40), {'left': twins['left']})
    signals, history = (dict.fromkeys(twins, given['left']) for given in (signals, history))
    config = FaultConfig(
        kinds={kind: 1.0}, clean_share=0.0, max_faulty=2, all_faulty=True, whole_share=1.0,
        severities={3: 1.0}, largest_share=1.0,
    )  # fmt: skip
    observed, labels = FaultEngine(twins, config)(signals, history, ids)
    both = labels.modality.all(1)
    assert both.sum() > 5
    change = [(observed[n] - signals[n])[both].flatten(1) for n in twins]
    correlation = torch.corrcoef(torch.stack([each.flatten() for each in change]))[0, 1]
    assert abs(correlation) < 0.3


def test_progress_is_the_elapsed_share_of_the_horizon():
    signal = torch.zeros(2, 1, 8)
    start, horizon = torch.tensor([2, -3]), torch.tensor([4, 10])
    site = SeriesSite(
        Sensor.of(replace(CELL['force']), torch.device('cpu')),
        torch.tensor([3, 3]),
        Draws.of(0, 0, torch.arange(2)),
        signal,
        None,
        signal[..., :0],
        torch.ones(2, 1, dtype=torch.bool),
        start,
        torch.tensor([9, 9]),
        horizon,
        torch.zeros(2, dtype=torch.int64),
    )
    expected = [[0, 0, 0.25, 0.5, 0.75, 1, 1, 1], [0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1, 1]]
    torch.testing.assert_close(site.progress[:, 0], torch.tensor(expected))
