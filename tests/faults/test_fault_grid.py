"""What a fault changes lies on the grid of the sensor: no rule on single values finds it."""

from pathlib import Path

import hypothesis
import numpy as np
import pytest
import torch
from hypothesis import strategies as st

from lipfault.data.datamodule import RecordingDataModule
from lipfault.errors import LipfaultError
from lipfault.faults.collection import NAMES, catalogue
from lipfault.faults.config import FaultConfig
from lipfault.faults.engine import FaultEngine
from lipfault.modality import Modality

DATA = Path(__file__).parents[2] / 'data'
RECORDINGS = sorted(DATA.glob('*.h5'))
WINDOWS = 400


def off_grid(name, modality, observed, clean):
    """(batch,) bool: a value that no clean signal has (image), or no multiple of the quantum."""
    if modality.kind == 'image':
        found = ~torch.isin(observed, clean.unique())
    else:
        quantum = torch.tensor(modality.quantum, dtype=torch.float64)[:, None]
        number = observed.double() / quantum
        found = number != number.round()
    return found.flatten(1).any(1)


@pytest.mark.parametrize('path', RECORDINGS, ids=lambda path: path.stem)
def test_no_value_off_the_grid_gives_a_fault_away(path):
    # A swap of two sensors is drawn by a pattern alone.
    lossless = [name for name in NAMES if not catalogue()[name].missing]
    kinds = {name: 1.0 for name in lossless if name != 'sensor_swap'}
    config = FaultConfig(kinds=kinds, pattern_share=0.1, all_faulty=True, damage=None)
    data = RecordingDataModule(str(path), faults=config, cache='none', history_s=0.5)
    # The levels themselves, and strengths far below the first one.
    faint = FaultEngine(data.modalities, config, scale=Faint())
    windows = data.dataset('test').fetch(range(WINDOWS))
    batch = data.faulty_batch(windows)
    shown, faint_labels = faint(batch.clean, None, windows.sample_id)
    for labels in (batch.labels, faint_labels):
        assert 0.3 < labels.faulty.float().mean() < 0.6
    drawn = {kind for kind in batch.labels.kind.unique().tolist() if kind >= 0}
    assert len(drawn) > 0.8 * len(kinds)
    for name, modality in data.modalities.items():
        assert modality.quantum_inferred
        clean = batch.clean[name]
        assert not bool(off_grid(name, modality, clean, clean).any())
        assert not bool(off_grid(name, modality, batch.observed[name], clean).any())
        assert not bool(off_grid(name, modality, shown[name], clean).any())


class Faint:
    """A scale of strengths below the first level."""

    def strength(self, modality, fault, severity, chance):
        return 0.6 + 0.4 * chance


SERIES = Modality('s', 'series', 50.0, ('x',), ('1',), (-1.0,), (1.0,), (0.02,), quantum=(0.01,))


def readings(values):
    """(1, 1, time) float32 readings in steps of 0.01, as a file holds them."""
    return torch.tensor(values, dtype=torch.float64).div(100).float()[None, None]


@hypothesis.settings(max_examples=60, deadline=None, derandomize=True)
@hypothesis.given(
    st.lists(st.integers(-100, 100), min_size=2, max_size=40),
    st.sampled_from(
        [n for n in NAMES if catalogue()[n].fits(SERIES) and not catalogue()[n].missing]
    ),
    st.integers(0, 2**31),
)
def test_a_decimal_grid_holds_bit_for_bit(values, kind, sample):
    signal = readings(values)
    config = FaultConfig(kinds={kind: 1.0}, clean_share=0.0)
    observed, labels = FaultEngine({'s': SERIES}, config)(
        {'s': signal}, {'s': signal.flip(2)}, torch.tensor([sample])
    )
    allowed = readings(range(-100, 101)).flatten()
    assert bool(torch.isin(observed['s'], allowed).all())
    changed = observed['s'] != signal
    assert bool(labels.faulty) == bool(changed.any())
    assert not bool((changed & ~labels.mask['s']).any())


def test_values_off_the_grid_are_kept_and_not_given_away():
    """Of 0.3 quanta off, no entry becomes a multiple because of a fault."""
    signal = (torch.arange(-50, 50) / 100 + 0.003).float().expand(200, 1, -1).contiguous()
    config = FaultConfig(kinds={'bias': 1.0, 'noise_additive': 1.0}, whole_share=0.0)
    observed, labels = FaultEngine({'s': SERIES}, config)({'s': signal}, None, torch.arange(200))
    outside = ~labels.mask['s']
    assert torch.equal(observed['s'][outside], signal[outside])
    inside = observed['s'][labels.mask['s']].double() * 100
    # Apart from the ends of the range, at which the converter clips.
    inside = inside[inside.abs() < 99.999]
    assert ((inside - inside.round()).abs() < 1e-3).float().mean() < 0.05


def test_a_change_of_less_than_a_quantum_shows_in_a_share_of_the_values():
    """The mean of x' - x is the offset, although single values change by whole quanta."""
    signal = readings([0] * 50).expand(4000, 1, -1).contiguous()
    config = FaultConfig(
        kinds={'bias': 1.0},
        clean_share=0.0,
        whole_share=1.0,
        levels={'bias': [0.1, 0.2, 0.3, 0.4, 0.5]},
        severities={2: 1.0},
        sign='positive',
    )
    observed, labels = FaultEngine({'s': SERIES}, config)({'s': signal}, None, torch.arange(4000))
    steps = (observed['s'] * 100).round()
    assert set(steps.unique().tolist()) == {0.0, 1.0}
    # 0.2 noises of 0.02 are 0.4 quanta; 200000 values, standard error 0.0011
    assert steps.mean().item() == pytest.approx(0.4, abs=0.005)
    assert labels.damage[:, 0].square().mean().sqrt().item() == pytest.approx(
        np.sqrt(0.4) * 0.01 / 0.02, rel=0.02
    )


def test_held_values_are_repeated_bit_for_bit():
    signal = readings(np.arange(60) % 37 - 18).expand(50, 1, -1).contiguous()
    config = FaultConfig(
        kinds={'stuck': 1.0}, clean_share=0.0, whole_share=0.0, severities={5: 1.0}
    )
    observed, labels = FaultEngine({'s': SERIES}, config)({'s': signal}, None, torch.arange(50))
    for row in range(50):
        held = observed['s'][row, 0][labels.mask['s'][row, 0]]
        assert len(held.unique()) <= 1


def test_faults_that_change_nothing_are_not_labelled():
    still = readings([7] * 50).expand(300, 1, -1).contiguous()
    config = FaultConfig(kinds={'stuck': 1.0, 'delay': 1.0, 'jitter': 1.0}, clean_share=0.0)
    observed, labels = FaultEngine({'s': SERIES}, config)(
        {'s': still}, {'s': still.clone()}, torch.arange(300)
    )
    assert torch.equal(observed['s'], still)
    assert not bool(labels.faulty.any())
    assert labels.kind.unique().tolist() == [-1]
    assert labels.severity.unique().tolist() == [0]
    assert bool(labels.onset.isnan().all())
    assert not bool(labels.mask['s'].any() | labels.channels['s'].any())
    assert bool((labels.damage == 0).all())


@pytest.mark.parametrize(
    ('quantum', 'message'),
    [
        ((0.0,), 'quantum must be above 0 and at most the range 2, got 0.0'),
        ((-0.1,), 'quantum must be above 0'),
        ((float('nan'),), 'quantum must be above 0'),
        ((3.0,), 'at most the range 2, got 3.0'),
        ((0.1, 0.1), 'quantum must have one entry for each of the 1 channels, got 2'),
    ],
)
def test_bad_quanta_are_named(quantum, message):
    with pytest.raises(LipfaultError, match=message):
        Modality('s', 'series', 50.0, ('x',), ('1',), (-1.0,), (1.0,), (0.02,), quantum=quantum)


def test_a_quantum_survives_plain_types_and_may_be_missing():
    assert Modality.from_dict(SERIES.to_dict()) == SERIES
    fields = SERIES.to_dict()
    del fields['quantum'], fields['quantum_inferred']
    plain = Modality.from_dict(fields)
    assert plain.quantum is None
    assert plain.steps == (2.0**-9,)  # the largest power of two not above 0.02 / 8
