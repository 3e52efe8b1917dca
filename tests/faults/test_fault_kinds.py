"""Through the engine, kind by kind: true labels, the same in any batch, and the previous frame."""

import math

import pytest
import torch
import torch.multiprocessing
from fault_cell import CELL, batch, flat, rows, same

from lipfault.faults.collection import NAMES, catalogue
from lipfault.faults.config import FaultConfig
from lipfault.faults.engine import FaultEngine

IMAGES = [name for name, fault in catalogue().items() if fault.family in ('image', 'cross')]
DRAWN_ANEW = {'gaussian_noise', 'shot_noise', 'impulse_noise', 'tear'}
"""What differs from frame to frame; all else is on the frame before as it is on the window's."""


def engine_of(kind: str) -> FaultEngine:
    """Draws one kind, on every modality that it fits."""
    if kind == 'sensor_swap':
        config = FaultConfig(pattern_share=1.0, patterns={'swapped': 1.0}, clean_share=0.2)
    else:
        config = FaultConfig(kinds={kind: 1.0}, clean_share=0.2, missing=True, max_faulty=2)
    return FaultEngine(CELL, config)


def everything(kind: str, chosen=slice(None), count: int = 100) -> dict[str, torch.Tensor]:
    """Observed signals, frames before and labels of some samples, by name."""
    engine, part = engine_of(kind), rows(batch(torch.arange(count)), chosen)
    plan = engine.plan(part[2], epoch=3)
    observed, labels = engine.apply(*part[:2], plan)
    before = engine.previous_frames(*part[:2], plan)
    return {**observed, **{f'{n} before': x for n, x in before.items()}, **flat(labels)}


@pytest.mark.parametrize('kind', NAMES)
def test_the_labels_are_those_of_the_kind_and_match_what_changed(kind):
    fault, engine = catalogue()[kind], engine_of(kind)
    signals, history, ids = batch(torch.arange(150))
    observed, labels = engine(signals, history, ids)
    assert set(labels.kind.unique().tolist()) == {-1, NAMES.index(kind)}
    for place, (name, clean) in enumerate(signals.items()):
        faulty, severity = labels.modality[:, place], labels.severity[:, place]
        if not (fault.fits(CELL[name]) or kind == 'sensor_swap'):
            assert not faulty.any()
        assert torch.equal(faulty, (severity >= 1) & (severity <= 5))
        changed = (observed[name] != clean) | observed[name].isnan()
        mask = labels.mask[name].expand_as(clean)
        assert not bool((changed & ~mask).any())
        assert torch.equal(labels.channels[name], mask.flatten(2).any(-1))
        assert not bool(mask[~faulty].any())
        assert torch.equal(faulty, ~labels.onset[:, place].isnan())
        assert bool(((observed[name] >= -3) & (observed[name] <= 3) | observed[name].isnan()).all())
        noise = CELL[name].noise[0]
        change = torch.where(observed[name].isnan(), width_of(name), observed[name] - clean)
        energy = (change.double() / noise).square().flatten(2).mean(2)
        for row in faulty.nonzero()[:, 0].tolist():
            touched = labels.channels[name][row]
            expected = math.sqrt(energy[row][touched].mean()) if touched.any() else 0.0
            assert labels.damage[row, place].item() == pytest.approx(expected, rel=1e-4)


def width_of(name: str) -> float:
    """Width of the range, which a lost value counts with."""
    return CELL[name].high[0] - CELL[name].low[0]


@pytest.mark.parametrize('kind', NAMES)
def test_a_sample_is_the_same_in_batches_of_1_7_and_64(kind):
    whole = everything(kind)
    for size, starts in ((1, range(0, 100, 13)), (7, (0, 21, 93)), (64, (0, 36))):
        for start in starts:
            chosen = slice(start, start + size)
            for name, part in everything(kind, chosen).items():
                assert same(part, whole[name][chosen]), name


def _work(rank: int, folder: str) -> None:
    torch.set_num_threads(1)
    found = {kind: everything(kind, slice(rank, None, 2), 24) for kind in NAMES}
    torch.save(found, f'{folder}/{rank}.pt')


@pytest.mark.ddp
def test_two_processes_get_of_every_kind_what_one_gets(tmp_path):
    torch.multiprocessing.spawn(_work, (str(tmp_path),), nprocs=2)
    parts = [torch.load(tmp_path / f'{rank}.pt') for rank in (0, 1)]
    for kind in NAMES:
        whole = everything(kind, count=24)
        for rank, found in enumerate(parts):
            for name, part in found[kind].items():
                assert same(part, whole[name][rank::2]), (kind, name)


@pytest.mark.parametrize('kind', IMAGES)
def test_the_frame_before_has_the_same_fault(kind):
    """It is what the engine makes of the frame before where that is the last one, noise aside."""
    engine, (signals, history, ids) = engine_of(kind), batch(torch.arange(150))
    plan = engine.plan(ids)
    shown = engine.previous_frames(signals, history, plan)
    frames = {name: history[name][:, -1] for name in shown}
    earlier = {name: history[name][:, :-1] for name in shown}
    alone, told = engine.apply({**signals, **frames}, {**history, **earlier}, plan)
    differ = False
    for name, frame in shown.items():
        assert frame.dtype == torch.float32
        calm = plan.columns.kind[:, list(CELL).index(name)] < 0
        assert same(frame[calm], frames[name][calm])
        changed = (frame != frames[name]) | frame.isnan()
        assert frame.isnan().any() == alone[name].isnan().any()
        if kind not in DRAWN_ANEW | {'frozen_frame'}:
            assert same(frame, alone[name])
            assert not bool((changed & ~told.mask[name]).any())
        differ |= not same(frame, alone[name])
        assert bool(changed[~calm].any())
        assert bool(((frame >= 0) & (frame <= 1) | frame.isnan()).all())
    assert differ == (kind in DRAWN_ANEW | {'frozen_frame'})
