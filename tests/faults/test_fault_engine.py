"""The engine: the same faults in any batch, true labels, and draws as configured."""

import warnings
from dataclasses import replace

import pytest
import torch
import torch.multiprocessing
from fault_cell import CELL, batch, camera, flat, rows, same, series

from lipfault.errors import LipfaultError
from lipfault.faults.collection import NAMES, catalogue, expand
from lipfault.faults.config import FaultConfig
from lipfault.faults.engine import FaultEngine
from lipfault.faults.patterns import CAUSES, PATTERNS

EVERYTHING = FaultConfig(
    kinds={'series': 1.0, 'image': 1.0, 'desynchronization': 0.05},
    clean_share=0.2,
    max_faulty=3,
    missing=True,
    pattern_share=0.3,
)


def assert_same(one: torch.Tensor, other: torch.Tensor) -> None:
    assert same(one, other)


def assert_part(whole, part, chosen):
    for name, signal in part[0].items():
        assert_same(signal, whole[0][name][chosen])
    everything = flat(whole[1])
    for name, value in flat(part[1]).items():
        assert_same(value, everything[name][chosen])


@pytest.mark.parametrize('size', [1, 7, 64])
def test_a_sample_is_the_same_in_any_batch(size):
    engine, everything = FaultEngine(CELL, EVERYTHING), batch(torch.arange(128))
    whole = engine(*everything, epoch=3)
    for start in range(0, 128 if size > 1 else 40, size):
        chosen = slice(start, start + size)
        assert_part(whole, engine(*rows(everything, chosen), epoch=3), chosen)


def test_a_sample_is_the_same_in_any_order():
    engine, everything = FaultEngine(CELL, EVERYTHING), batch(torch.arange(96))
    order = torch.randperm(96)
    assert_part(engine(*everything), engine(*rows(everything, order)), order)


def _work(rank: int, folder: str) -> None:
    torch.set_num_threads(1)
    chosen = slice(rank, 96, 2)
    observed, labels = FaultEngine(CELL, EVERYTHING)(*rows(batch(torch.arange(96)), chosen))
    torch.save((observed, flat(labels)), f'{folder}/{rank}.pt')


@pytest.mark.ddp
def test_two_processes_draw_what_one_draws(tmp_path):
    torch.multiprocessing.spawn(_work, (str(tmp_path),), nprocs=2)
    observed, labels = FaultEngine(CELL, EVERYTHING)(*batch(torch.arange(96)))
    for rank in (0, 1):
        signals, truth = torch.load(tmp_path / f'{rank}.pt')
        for name, signal in signals.items():
            assert_same(signal, observed[name][rank::2])
        for name, value in truth.items():
            assert_same(value, flat(labels)[name][rank::2])


def test_epochs_and_seeds_differ_and_repeat():
    everything = batch(torch.arange(64))
    engine, other = FaultEngine(CELL, EVERYTHING), FaultEngine(CELL, replace(EVERYTHING, seed=1))
    kinds = [e(*everything, epoch=n)[1].kind for e, n in ((engine, 0), (engine, 1), (other, 0))]
    assert torch.equal(kinds[0], engine(*everything, epoch=0)[1].kind)
    assert not torch.equal(kinds[0], kinds[1])
    assert not torch.equal(kinds[0], kinds[2])


def test_planning_ahead_gives_the_same():
    engine, everything = FaultEngine(CELL, EVERYTHING), batch(torch.arange(32))
    plan = engine.plan(everything[2], 5)
    assert_part(engine(*everything, epoch=5), engine.apply(*everything[:2], plan), slice(None))


def test_labels_say_what_changed():
    everything = batch(torch.arange(400))
    observed, labels = FaultEngine(CELL, EVERYTHING)(*everything)
    for place, (name, clean) in enumerate(everything[0].items()):
        changed = (observed[name] != clean) | observed[name].isnan()
        mask = labels.mask[name].expand_as(clean)
        assert not bool((changed & ~mask).any())
        assert_same(observed[name][~mask], clean[~mask])
        assert torch.equal(labels.channels[name], mask.flatten(2).any(-1))
        faulty = labels.modality[:, place]
        assert not bool(changed[~faulty].any())
        assert torch.equal(faulty, labels.kind[:, place] >= 0)
        assert torch.equal(faulty, labels.severity[:, place] > 0)
        assert torch.equal(faulty, ~labels.onset[:, place].isnan())
        assert bool((labels.damage[~faulty, place] == 0).all())
        touched = mask.flatten(1).any(1)
        assert touched[faulty].float().mean() > 0.95
    assert torch.equal(labels.faulty, labels.modality.any(1))


def test_damage_is_the_change_over_the_noise():
    everything = batch(torch.arange(200))
    config = replace(EVERYTHING, missing=False)
    observed, labels = FaultEngine(CELL, config)(*everything)
    for place, (name, clean) in enumerate(everything[0].items()):
        change = (observed[name] - clean).double() / CELL[name].noise[0]
        energy = change.square().flatten(2).mean(2)
        for row in labels.modality[:, place].nonzero()[:, 0]:
            touched = labels.channels[name][row]
            expected = energy[row][touched].mean().sqrt() if touched.any() else 0.0
            assert labels.damage[row, place].item() == pytest.approx(float(expected), rel=1e-4)


def test_onset_is_where_the_series_begins_to_change():
    config = FaultConfig(kinds={'bias': 1.0}, clean_share=0.0, whole_share=0.3)
    _, labels = FaultEngine({'arm': CELL['arm']}, config)(
        *batch(torch.arange(200), {'arm': CELL['arm']})
    )
    active = labels.mask['arm'].any(1)
    first = active.float().argmax(1) / 50
    inside = labels.onset[:, 0] >= 0
    assert bool(((first - labels.onset[:, 0])[inside].abs() <= 1 / 50).all())
    assert bool((first[~inside] == 0).all())
    assert inside.float().mean().item() == pytest.approx(0.7, abs=0.1)
    ended = ~active[:, -1]
    assert ended.float().mean().item() == pytest.approx(0.35, abs=0.1)


def test_clean_samples_stay_the_same_tensor():
    config = FaultConfig(kinds={'series': 1.0}, clean_share=1.0)
    everything = batch(torch.arange(8))
    observed, labels = FaultEngine(CELL, config)(*everything)
    assert all(observed[name] is everything[0][name] for name in CELL)
    assert not bool(labels.faulty.any())


def test_signals_that_want_gradients_are_taken():
    signals, history, ids = batch(torch.arange(64))
    wanting = {name: signal.clone().requires_grad_() for name, signal in signals.items()}
    observed, _ = FaultEngine(CELL, EVERYTHING)(wanting, history, ids)
    expected, _ = FaultEngine(CELL, EVERYTHING)(signals, history, ids)
    for name, signal in observed.items():
        assert_same(signal.detach(), expected[name])


def test_inputs_are_left_alone():
    everything = batch(torch.arange(64))
    before = {name: signal.clone() for name, signal in everything[0].items()}
    FaultEngine(CELL, EVERYTHING)(*everything)
    assert all(torch.equal(before[name], signal) for name, signal in everything[0].items())


def test_shares_are_kept():
    config = FaultConfig(
        clean_share=0.3,
        severities={2: 1.0, 5: 3.0},
        modality_weights={'front': 3.0, 'arm': 1.0},
        kinds={'bias': 1.0, 'noise': 3.0, 'fog': 1.0},
    )
    plan = FaultEngine(CELL, config).plan(torch.arange(4000))
    kind, severity = plan.columns.kind, plan.columns.severity
    assert (kind < 0).all(1).float().mean().item() == pytest.approx(0.3, abs=0.03)
    assert bool(((kind >= 0).sum(1) <= 1).all())
    front, arm = ((kind[:, place] >= 0).sum().item() for place in (0, 1))
    assert front / arm == pytest.approx(3, rel=0.15)
    assert not bool((kind[:, 2:] >= 0).any())
    counts = severity[severity > 0].bincount(minlength=6)
    assert counts[5] / counts[2] == pytest.approx(3, rel=0.15)
    assert counts[1] + counts[3] + counts[4] == 0
    kinds = kind[:, 1][kind[:, 1] >= 0].bincount(minlength=len(NAMES))
    assert kinds[NAMES.index('bias')] / kinds.sum() == pytest.approx(0.25, abs=0.06)
    assert kinds[NAMES.index('noise_signal')] / kinds.sum() == pytest.approx(0.25, abs=0.06)


def test_one_to_a_third_of_the_channels_are_concerned():
    modality = {'arm': series('arm', 30)}
    config = FaultConfig(kinds={'bias': 1.0}, clean_share=0.0)
    _, labels = FaultEngine(modality, config)(*batch(torch.arange(300), modality))
    counts = labels.channels['arm'].sum(1)
    assert (counts.min(), counts.max()) == (1, 10)
    assert bool((labels.channels['arm'].sum(0) > 20).all())


@pytest.mark.parametrize('most', [1, 2, 3, 4])
def test_never_all_modalities_at_once(most):
    config = replace(EVERYTHING, max_faulty=most, clean_share=0.0, pattern_share=0.5)
    counts = (FaultEngine(CELL, config).plan(torch.arange(3000)).columns.kind >= 0).sum(1)
    assert counts.min() == 1
    assert counts.max() == 3  # patterns may hit three whatever max_faulty is
    plain = replace(config, pattern_share=0.0)
    counts = (FaultEngine(CELL, plain).plan(torch.arange(3000)).columns.kind >= 0).sum(1)
    assert counts.max() == min(most, 3)


def test_all_modalities_at_once_if_asked():
    config = replace(EVERYTHING, max_faulty=4, all_faulty=True, clean_share=0.0)
    counts = (FaultEngine(CELL, config).plan(torch.arange(500)).columns.kind >= 0).sum(1)
    assert counts.max() == 4


def test_the_only_modality_may_be_faulty():
    one = {'arm': CELL['arm']}
    # By the plan: on some samples a fault changes nothing, such as lost counts at rest.
    plan = FaultEngine(one, FaultConfig(clean_share=0.0)).plan(torch.arange(10))
    assert bool((plan.columns.kind >= 0).all())


@pytest.mark.parametrize('names', [['drift'], ['image'], ['stuck', 'noise', 'fog'], ['series']])
def test_kinds_held_out_are_drawn_apart(names):
    engine = FaultEngine(CELL, FaultConfig(held_out=names, clean_share=0.0))
    held = {NAMES.index(fault.name) for name in names for fault in expand(name)}
    missing = {NAMES.index(n) for n, fault in catalogue().items() if fault.missing}
    seen = set(engine.plan(torch.arange(4000)).columns.kind.unique().tolist()) - {-1}
    unseen = set(engine.only_held_out().plan(torch.arange(4000)).columns.kind.unique().tolist())
    assert not seen & held
    assert unseen - {-1} == held - missing


def test_patterns_held_out_are_drawn_apart():
    config = FaultConfig(pattern_share=0.5, held_out=['several'], clean_share=0.0)
    engine = FaultEngine(CELL, config)
    several = list(PATTERNS).index('several')
    assert several not in engine.plan(torch.arange(500)).pattern
    assert bool((engine.only_held_out().plan(torch.arange(500)).pattern == several).all())


def test_a_common_cause_never_shows_kinds_held_out():
    config = FaultConfig(
        pattern_share=1.0, patterns={'common_cause': 1.0}, held_out=['blackout'], clean_share=0.0
    )
    kinds = FaultEngine(CELL, config).plan(torch.arange(1000)).columns.kind.unique().tolist()
    names = {NAMES[kind] for kind in kinds if kind >= 0}
    shown = {kind for name, cause in CAUSES.items() if name != 'power' for kind in cause.values()}
    assert names == shown


def test_a_common_cause_hits_a_cabinet_at_once():
    config = FaultConfig(
        pattern_share=1.0,
        patterns={'common_cause': 1.0},
        cabinets={'left': ['front', 'arm'], 'right': ['side', 'force']},
        clean_share=0.0,
    )
    columns = FaultEngine(CELL, config).plan(torch.arange(300)).columns
    faulty = columns.kind >= 0
    left = torch.tensor([True, True, False, False])
    assert bool(((faulty == left).all(1) | (faulty == ~left).all(1)).all())
    for values in (columns.severity, columns.begin):
        assert torch.equal(values[faulty].view(-1, 2)[:, 0], values[faulty].view(-1, 2)[:, 1])


def test_swapped_sensors_show_each_other():
    config = FaultConfig(
        pattern_share=1.0, patterns={'swapped': 1.0}, clean_share=0.0, severities={5: 1.0}
    )
    everything = batch(torch.arange(20))
    observed, labels = FaultEngine(CELL, config)(*everything)
    assert_same(observed['front'], everything[0]['side'])
    assert_same(observed['side'], everything[0]['front'])
    assert labels.modality.float().mean(0).tolist() == [1, 0, 1, 0]
    assert bool((labels.pattern == list(PATTERNS).index('swapped')).all())


def test_the_order_of_the_signals_does_not_matter():
    cameras = {name: camera(name) for name in ('a', 'b', 'c')}
    config = FaultConfig(pattern_share=1.0, patterns={'swapped': 1.0}, clean_share=0.0)
    signals, history, ids = batch(torch.arange(40), cameras)
    engine, names = FaultEngine(cameras, config), ('c', 'a', 'b')
    plan = engine.plan(ids)
    expected, truth = engine.apply(signals, history, plan)
    turned = [{name: each[name] for name in names} for each in (signals, history)]
    observed, labels = engine.apply(*turned, plan)
    shown, seen = (engine.previous_frames(*each, plan) for each in ((signals, history), turned))
    for name in cameras:
        assert_same(observed[name], expected[name])
        assert_same(shown[name], seen[name])
    assert torch.equal(labels.damage, truth.damage)


def test_swapped_arms_swap_at_the_same_instants():
    arms = {'left': series('left', 3), 'right': series('right', 3)}
    config = FaultConfig(pattern_share=1.0, patterns={'swapped': 1.0}, clean_share=0.0)
    _, labels = FaultEngine(arms, config)(*batch(torch.arange(50), arms))
    assert torch.equal(labels.mask['left'], labels.mask['right'])


def test_missing_values_reach_the_labels():
    config = FaultConfig(
        kinds={'dropout_nan': 1.0, 'missing_frame': 1.0},
        clean_share=0.0,
        missing=True,
        whole_share=1.0,
        largest_share=1.0,
        severities={5: 1.0},
    )
    observed, labels = FaultEngine(CELL, config)(*batch(torch.arange(100)))
    for name in CELL:
        gone = observed[name].flatten(1).isnan().all(1)
        assert torch.equal(labels.present[name], ~gone)
    assert not bool(labels.present['front'].all())
    assert bool((labels.damage.amax(1) > 0).all())


class Halved(type(catalogue()['bias'])):
    """A user's fault."""

    name = 'halved'

    def apply(self, site):
        return site.signal / 2, site.mask


def test_a_users_fault_goes_by_its_class_path():
    config = FaultConfig(kinds={f'{__name__}.Halved': 1.0}, clean_share=0.0)
    everything = batch(torch.arange(10))
    engine = FaultEngine(CELL, config)
    observed, labels = engine(*everything)
    assert engine.names == (*NAMES, 'halved')
    arm = labels.mask['arm']
    assert_same(observed['arm'], torch.where(arm, everything[0]['arm'] / 2, everything[0]['arm']))
    assert {engine.names[kind] for kind in labels.kind[labels.modality].tolist()} == {'halved'}


@pytest.mark.parametrize('dtype', [torch.uint8, torch.float16, torch.float64])
def test_dtypes_are_kept(dtype):
    cameras = {'front': camera('front')}
    signals, history, ids = batch(torch.arange(60), cameras)
    scale = 255 if dtype == torch.uint8 else 1
    coded = {'front': (signals['front'].double() * scale + 1e-9).to(dtype)}
    past = {'front': (history['front'].double() * scale).to(dtype)}
    observed, labels = FaultEngine(cameras, FaultConfig(clean_share=0.2))(coded, past, ids)
    assert observed['front'].dtype == dtype
    outside = ~labels.mask['front'].expand_as(coded['front'])
    assert torch.equal(observed['front'][outside], coded['front'][outside])
    as_float = {'front': coded['front'].float() / scale}
    plain, _ = FaultEngine(cameras, FaultConfig(clean_share=0.2))(
        as_float, {'front': past['front'].float() / scale}, ids
    )
    close = 0.51 / 255 if dtype == torch.uint8 else 1e-3
    assert (observed['front'].float() / scale - plain['front']).abs().max() < close


@pytest.mark.parametrize('past', [None, {}, 'empty'])
def test_without_history_faults_fall_back(past):
    signals, history, ids = batch(torch.arange(300))
    if past == 'empty':
        past = {
            name: each[:, :0] if each.ndim == 5 else each[..., :0] for name, each in history.items()
        }
    engine = FaultEngine(CELL, EVERYTHING)
    observed, labels = engine(signals, past, ids)
    plan = engine.plan(ids)
    frozen = (plan.columns.kind == NAMES.index('frozen_frame')) & (plan.pattern[:, None] < 0)
    assert bool(frozen.any())
    assert bool((labels.damage[frozen] == 0).all())
    assert not bool(labels.modality[frozen].any())
    kinds = {NAMES.index(name) for name, fault in catalogue().items() if fault.missing}
    lossy = torch.tensor([[kind in kinds for kind in row] for row in labels.kind.tolist()])
    for place, name in enumerate(CELL):
        assert bool(observed[name][~lossy[:, place]].isfinite().all())


@pytest.mark.skipif(not torch.cuda.is_available(), reason='needs a GPU')
def test_a_gpu_draws_the_same_without_waiting():
    signals, history, ids = batch(torch.arange(128))
    engine = FaultEngine(CELL, EVERYTHING)
    there = [{name: each.cuda() for name, each in part.items()} for part in (signals, history)]
    plan = engine.plan(ids)
    engine.apply(*there, plan)
    with warnings.catch_warnings(action='ignore'):  # that the mode is a prototype
        torch.cuda.set_sync_debug_mode('error')
    try:
        observed, labels = engine.apply(*there, plan)
    finally:
        torch.cuda.set_sync_debug_mode('default')
    expected, truth = engine(signals, history, ids)
    for name, value in flat(labels).items():
        if 'damage' not in name:
            assert_same(value.cpu(), flat(truth)[name])
    for name, value in observed.items():
        assert torch.allclose(value.cpu(), expected[name], atol=1e-4, equal_nan=True)


@pytest.mark.parametrize('count', [1, 30])
def test_any_number_of_channels(count):
    modality = {'arm': series('arm', count)}
    config = replace(EVERYTHING, clean_share=0.0, pattern_share=0.0)
    observed, labels = FaultEngine(modality, config)(*batch(torch.arange(200), modality))
    assert observed['arm'].shape == (200, count, 50)
    if count == 1:
        assert NAMES.index('channel_swap') not in labels.kind


def test_signals_must_be_of_the_modalities():
    engine, (signals, history, ids) = FaultEngine(CELL, FaultConfig()), batch(torch.arange(4))
    with pytest.raises(LipfaultError, match="got \\['arm', 'force', 'front'\\]"):
        engine({name: signals[name] for name in ('arm', 'force', 'front')}, history, ids)
    with pytest.raises(
        LipfaultError, match="'arm' must have 3 dimensions and begin with \\(4, 7\\)"
    ):
        engine(signals | {'arm': signals['arm'][:, :5]}, history, ids)
    with pytest.raises(LipfaultError, match=r"'front'.*got shape \(3, 16, 12\)"):
        engine(signals | {'front': signals['front'][0]}, history, ids)
