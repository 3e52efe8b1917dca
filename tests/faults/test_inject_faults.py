"""`inject_faults` does in one call what the engine does, and names bad input."""

import subprocess
import sys

import pytest
import torch
from fault_cell import CELL, batch, flat, same

import lipfault.faults
from lipfault.errors import LipfaultError
from lipfault.faults.collection import NAMES, catalogue
from lipfault.faults.config import FaultConfig
from lipfault.faults.engine import FaultEngine
from lipfault.faults.inject import inject_faults, kind_names

ARM = {'arm': CELL['arm']}
NEED_HISTORY = {name for name, fault in catalogue().items() if fault.needs_history}


def kinds_of(labels):
    return {NAMES[kind] for kind in labels.kind[labels.modality].tolist()}


def test_it_does_what_the_engine_does():
    signals, history, ids = batch(torch.arange(50, 90))
    config = FaultConfig(seed=3, max_faulty=2)
    wanted, truth = FaultEngine(CELL, config)(signals, history, ids, 2)
    observed, labels = inject_faults(signals, CELL, config, history=history, sample_id=ids, epoch=2)
    for name in CELL:
        assert same(observed[name], wanted[name])
    for name, value in flat(truth).items():
        assert same(flat(labels)[name], value)


@pytest.mark.parametrize('faults', [['bias'], 'bias', ('bias',)])
def test_names_are_injected_into_every_sample(faults):
    signals, _, _ = batch(torch.arange(20), ARM)
    observed, labels = inject_faults(signals, ARM, faults)
    assert kinds_of(labels) == {'bias'}
    assert bool(labels.faulty.all())
    assert not torch.equal(observed['arm'], signals['arm'])


def test_seed_epoch_and_sample_id_matter():
    signals, _, _ = batch(torch.arange(20), ARM)
    first, _ = inject_faults(signals, ARM, ['bias'])
    assert torch.equal(first['arm'], inject_faults(signals, ARM, ['bias'], seed=0)[0]['arm'])
    ids = torch.arange(20) + 100
    for change in ({'seed': 1}, {'epoch': 1}, {'sample_id': ids}):
        assert not torch.equal(
            first['arm'], inject_faults(signals, ARM, ['bias'], **change)[0]['arm']
        )
    other, _ = inject_faults(
        signals, ARM, FaultConfig(kinds={'bias': 1.0}, clean_share=0.0), seed=1
    )
    assert torch.equal(other['arm'], inject_faults(signals, ARM, ['bias'], seed=1)[0]['arm'])


def test_without_history_the_kinds_that_need_it_are_left_out():
    signals, history, _ = batch(torch.arange(600))
    assert not kinds_of(inject_faults(signals, CELL)[1]) & NEED_HISTORY
    given = kinds_of(inject_faults(signals, CELL, history=history)[1])
    assert given >= NEED_HISTORY - {'desynchronization'}
    series = {name: history[name] for name in ('arm', 'force')}
    some = kinds_of(inject_faults(signals, CELL, history=series)[1])
    assert 'delay' in some
    assert 'frozen_frame' not in some


def test_patterns_use_no_kind_that_needs_history():
    signals, history, _ = batch(torch.arange(300))
    config = FaultConfig(pattern_share=1.0, patterns={'common_cause': 1.0}, clean_share=0.0)
    assert 'desynchronization' in kinds_of(inject_faults(signals, CELL, config, history=history)[1])
    assert 'desynchronization' not in kinds_of(inject_faults(signals, CELL, config)[1])


@pytest.mark.parametrize('kind', sorted(NEED_HISTORY))
@pytest.mark.parametrize('past', [None, 'empty'])
def test_a_kind_that_needs_history_is_refused_without(kind, past):
    signals, history, _ = batch(torch.arange(4))
    if past == 'empty':
        past = {n: x[:, :0] if x.ndim == 5 else x[..., :0] for n, x in history.items()}
    with pytest.raises(LipfaultError, match=f'{kind!r} reads samples from before the window'):
        inject_faults(signals, CELL, [kind], history=past)
    inject_faults(signals, CELL, [kind], history=history)


def test_missing_kinds_may_be_named():
    signals, _, _ = batch(torch.arange(20), ARM)
    observed, labels = inject_faults(signals, ARM, ['dropout_nan'])
    assert bool(observed['arm'].isnan().any())
    assert kinds_of(labels) == {'dropout_nan'}


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        ({'signals': {}}, 'signals is empty'),
        ({'signals': {'leg': torch.zeros(2, 7, 50)}}, "unknown modality 'leg'"),
        (
            {'signals': {'arm': torch.zeros(2, 5, 50)}},
            r"'arm' must have 3 dimensions.*\(2, 5, 50\)",
        ),
        ({'signals': {'arm': torch.zeros(7, 50)}}, "'arm' must have 3 dimensions"),
        ({'signals': {'arm': torch.full((2, 7, 50), torch.nan)}}, "'arm' holds 700 NaN"),
        (
            {'signals': {'arm': torch.zeros(2, 7, 50).long()}},
            'floating point or uint8, got torch.i',
        ),
        ({'faults': ['bais']}, "unknown fault 'bais': did you mean 'bias'"),
        ({'faults': []}, 'the weights must not sum to zero'),
        ({'faults': ['fog']}, 'none of the kinds to draw fits'),
        ({'sample_id': torch.zeros(2)}, r'sample_id must be \(batch,\) int64, got \(2,\) torch.f'),
        ({'sample_id': torch.arange(3)}, r'begin with \(3, 7\)'),
        ({'history': {'leg': torch.zeros(2, 7, 9)}}, "unknown modality 'leg'"),
        (
            {'history': {'arm': torch.zeros(2, 5, 9)}},
            r'history of .arm. must be \(batch, channel, st',
        ),
        ({'history': {'arm': torch.zeros(2, 9)}}, r'history of .arm. must be .* got \(2, 9\)'),
    ],
)
def test_bad_input_is_named(change, message):
    given = {'signals': {'arm': torch.zeros(2, 7, 50)}, 'modalities': ARM, 'faults': ['bias']}
    with pytest.raises(LipfaultError, match=message):
        inject_faults(**given | change)


def test_a_history_of_other_frames_is_named():
    front = {'front': CELL['front']}
    signals = {'front': torch.zeros(2, 3, 16, 12)}
    for shape in ((2, 5, 3, 16, 10), (3, 5, 3, 16, 12), (2, 3, 16, 12)):
        with pytest.raises(
            LipfaultError, match=r'must be \(batch, frame, channel, height, width\)'
        ):
            inject_faults(signals, front, history={'front': torch.zeros(shape)})


def test_kind_names_end_with_a_users_own():
    assert kind_names() == kind_names(['bias']) == NAMES
    path = f'{__name__}.Halved'
    assert kind_names([path]) == (*NAMES, 'halved')
    _, labels = inject_faults(batch(torch.arange(4), ARM)[0], ARM, [path])
    assert {kind_names([path])[kind] for kind in labels.kind[:, 0].tolist()} == {'halved'}


class Halved(type(catalogue()['bias'])):
    """A user's fault."""

    name = 'halved'

    def apply(self, site):
        return site.signal / 2, site.mask


def test_the_front_door_opens_late():
    code = (
        'import sys, lipfault.faults as f; '
        "late = [m for m in ('torch', 'lightning', 'wandb') if m in sys.modules]; "
        'f.FaultEngine; '
        "heavy = [m for m in ('lightning', 'wandb', 'h5py', 'matplotlib') if m in sys.modules]; "
        'sys.exit(str(late + heavy) if late + heavy else 0)'
    )
    subprocess.run([sys.executable, '-c', code], check=True)


def test_the_front_door_holds_what_it_lists():
    for name in lipfault.faults.__all__:
        assert getattr(lipfault.faults, name) is not None
    assert lipfault.faults.catalogue() == catalogue()  # a function, not a module of this name
