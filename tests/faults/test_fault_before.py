"""The previous frame as observed."""

import pytest
import torch
from fault_cell import CELL, batch

from lipfault.faults.config import FaultConfig
from lipfault.faults.engine import FaultEngine

IDS = torch.arange(64)


def shown(**kinds):
    """Observed signals, frames before them, clean signals, history, labels."""
    engine = FaultEngine(CELL, FaultConfig(kinds=kinds, clean_share=0.3))
    signals, history, ids = batch(IDS)
    plan = engine.plan(ids)
    observed, labels = engine.apply(signals, history, plan)
    return observed, engine.previous_frames(signals, history, plan), signals, history, labels


def rows_of(labels, name):
    """Samples in which one camera is faulty."""
    chosen = labels.modality[:, list(CELL).index(name)]
    assert chosen.any()
    return chosen


@pytest.mark.parametrize('name', ['front', 'side'])
def test_a_frozen_frame_repeats_the_one_before(name):
    observed, before, _, _, labels = shown(frozen_frame=1.0)
    chosen = rows_of(labels, name)
    assert torch.equal(observed[name][chosen], before[name][chosen])


def test_without_a_fault_it_is_the_recorded_one():
    _, before, _, history, labels = shown(frozen_frame=1.0, gaussian_noise=1.0)
    assert set(before) == {'front', 'side'}
    for index, name in enumerate(CELL):
        if name in before:
            calm = ~labels.modality[:, index]
            assert calm.any()
            assert torch.equal(before[name][calm], history[name][calm, -1])


def test_dead_pixels_stay_where_they_are():
    observed, before, signals, history, labels = shown(dead_pixels=1.0)
    chosen = rows_of(labels, 'front')
    touched = labels.mask['front'][chosen].expand(-1, 3, -1, -1)
    change = before['front'][chosen] != history['front'][chosen, -1]
    assert change.any()
    assert not (change & ~touched).any()
    moved = (observed['front'] - signals['front'])[chosen]
    assert torch.equal(change.any(1), (moved != 0).any(1))


def test_noise_is_drawn_anew():
    observed, before, signals, history, labels = shown(gaussian_noise=1.0)
    chosen = rows_of(labels, 'front')
    here = (observed['front'] - signals['front'])[chosen]
    there = before['front'][chosen] - history['front'][chosen, -1]
    assert here.std() == pytest.approx(float(there.std()), rel=0.1)
    assert torch.corrcoef(torch.stack([here.flatten(), there.flatten()]))[0, 1].abs() < 0.1


def test_no_history_no_frame_before():
    signals, history, ids = batch(IDS, history_s=0.0)
    engine = FaultEngine(CELL, FaultConfig())
    assert engine.previous_frames(signals, history, engine.plan(ids)) == {}
