"""What a training step and a prediction of stage 2 decide, with known answers."""

import math
from types import SimpleNamespace

import pytest
import torch
from test_settings import build  # noqa: F401, the fixture builds stage 2

from lipfault.batch import Batch
from lipfault.faults.draws import Draws
from lipfault.faults.labels import FaultLabels
from lipfault.lipschitz.modulation.modulation import modulated
from lipfault.lipschitz.modulation.targets import ScheduledTarget
from lipfault.metrics.detection import detection_summary
from lipfault.models.blocks.interface.types import Masks
from lipfault.tasks import finetune
from lipfault.tasks.inputs import fault_masks, observed
from lipfault.tasks.random_masks import training_masks
from lipfault.tasks.step import make_step

SHAPES = {'camera': (3, 16, 16), 'joints': (4, 32), 'force': (2, 64)}
ROWS = 8


def make_batch(rows=ROWS, faulty=None, damage=5.0, same_clean=False):
    """Random windows; in the faulty rows the first two joints are changed."""
    clean = {
        name: torch.rand(1 if same_clean else rows, *shape).expand(rows, *shape).clone()
        for name, shape in SHAPES.items()
    }
    faulty = torch.arange(rows) % 2 == 1 if faulty is None else faulty
    channels = {n: torch.zeros(rows, s[0], dtype=torch.bool) for n, s in SHAPES.items()}
    channels['joints'][:, :2] = faulty[:, None]
    mask = {
        n: torch.zeros(rows, 1, *s[1:], dtype=torch.bool) for n, s in SHAPES.items() if len(s) > 1
    }
    mask['joints'] = faulty[:, None, None].expand(rows, 1, 32).clone()
    seen = {n: x.clone() for n, x in clean.items()}
    seen['joints'][faulty, :2] += 3 * torch.rand(int(faulty.sum()), 2, 32)
    only = torch.zeros(rows, 3, dtype=torch.bool)
    only[:, 1] = faulty
    labels = FaultLabels(
        modality=only,
        kind=torch.where(only, 0, -1),
        severity=torch.where(only, 3, 0),
        channels=channels,
        mask=mask,
        onset=torch.where(only, 0.0, math.nan),
        damage=torch.where(only, damage, 0.0),
    )
    present = {n: torch.ones(rows, dtype=torch.bool) for n in SHAPES}
    return Batch(clean, seen, present, torch.arange(100, 100 + rows), labels)


@pytest.fixture
def task(build, monkeypatch):  # noqa: F811
    """Stage 2 with clipping, without a trainer."""
    made = build(clip={'block.detector': 0.5, 'block.parts.*.locator': 0.25})
    return silent(made, monkeypatch)


def silent(made, monkeypatch):
    monkeypatch.setattr(made, 'log', lambda *_, **__: None)
    monkeypatch.setattr(made, 'log_step', lambda *_: None)
    monkeypatch.setattr(finetune, 'share_done', lambda trainer: 0.25)
    made._trainer = SimpleNamespace(current_epoch=7, global_step=3)
    return made


def norm(module):
    return torch.stack([p.grad.norm() for p in module.parameters() if p.requires_grad]).norm()


def test_each_group_is_clipped_by_its_own_norm(task):
    for parameter in task.parameters():
        parameter.grad = torch.full_like(parameter, 3.0)
    free = task.block.corrector
    before = norm(free)
    task.configure_gradient_clipping(None)
    assert float(norm(task.block.detector)) == pytest.approx(0.5, rel=1e-3)
    locators = [part.locator for part in task.block.parts.values()]
    joint = torch.stack([norm(locator) for locator in locators]).norm()
    assert float(joint) == pytest.approx(0.25, rel=1e-3)
    assert norm(free) == before


def test_clean_and_faulty_samples_keep_their_roles(task):
    batch = make_batch()
    step = make_step(task.block.train(), batch, task.description.modalities, task.config, epoch=7)
    clean = ~batch.labels.faulty
    assert torch.equal(step.observation.is_clean, clean)
    assert torch.equal(step.masks.opaque, clean)
    assert torch.equal(step.observation.faulty, batch.labels.modality)
    assert torch.equal(step.clean['force'], task.autoencoder.standardized(batch.clean)['force'])
    assert not torch.equal(step.clean['joints'], step.observation.signals['joints'])


def test_a_fault_trains_by_its_largest_damage(task):
    made = {}
    for damage in (0.5, 1.0, 5.0):
        batch = make_batch(damage=damage)
        step = make_step(task.block, batch, task.description.modalities, task.config, epoch=0)
        made[damage] = step.visible
        assert step.visible[~batch.labels.faulty].all()
    faulty = make_batch().labels.faulty
    assert not made[0.5][faulty].any()  # the other modalities have a damage of 0
    assert made[1.0][faulty].all()
    assert made[5.0][faulty].all()


def test_located_maps_are_trusted_in_half_of_the_faulty_samples(task):
    batch = make_batch(64)
    step = make_step(task.block, batch, task.description.modalities, task.config, epoch=7)
    draws = Draws.of(task.config.seed, 7, batch.sample_id).stream('hide')
    located = batch.labels.faulty & (draws.uniform('trust') < 0.5)
    assert 8 < int(located.sum()) < 24
    true = fault_masks(batch.labels)['joints'].float().expand(64, 4, 32)
    found = step.detection.maps['joints']
    for row in range(64):
        if located[row]:
            assert torch.equal(step.masks.maps['joints'][row], found[row])
        elif batch.labels.faulty[row]:
            assert torch.equal(step.masks.maps['joints'][row], true[row])
        else:
            assert set(step.masks.maps['joints'][row].unique().tolist()) <= {0.0, 1.0}


def test_the_draws_are_of_the_epoch(task, monkeypatch):
    batch, taken = make_batch(), []
    monkeypatch.setattr(finetune, 'make_step', lambda *args: taken.append(args) or 1 / 0)
    with pytest.raises(ZeroDivisionError):
        task.training_step(batch, 2)
    assert taken[0][-1] == 7
    step = make_step(task.block, batch, task.description.modalities, task.config, epoch=7)
    wanted = Draws.of(task.config.seed, 7, batch.sample_id).stream('own')
    assert torch.equal(step.draws.keys, wanted.keys)


def test_scheduled_targets_follow_the_share_of_the_training(build, monkeypatch):  # noqa: F811
    target = {'start': 8.0, 'end': 2.0}
    made = silent(build(modulation={'corrector.*': {'mode': 'cap', 'target': target}}), monkeypatch)
    loss = made.training_step(make_batch(), 0)
    assert torch.isfinite(loss)
    wanted = ScheduledTarget(**target).at(0.25)
    kappas = [float(entry.modulation.kappa) for entry in modulated(made.block)]
    assert kappas
    assert kappas == pytest.approx([wanted] * len(kappas))


def test_a_target_that_begins_late_stays_until_then():
    late = ScheduledTarget(start=8.0, end=2.0, begin=0.5)
    assert [late.at(share) for share in (0.0, 0.25, 0.5)] == [8.0] * 3
    assert late.at(0.75) == pytest.approx(4.0)
    assert late.at(1.0) == pytest.approx(2.0)
    early = ScheduledTarget(start=8.0, end=2.0, begin=0.25, finish=0.5)
    assert early.at(0.375) == pytest.approx(4.0)
    assert early.at(0.75) == pytest.approx(2.0)


def test_a_score_above_the_threshold_is_the_alarm(task):
    batch = make_batch()
    task.eval()
    with torch.no_grad():
        scores = task.block(observed(task.autoencoder, batch, task.description.modalities))[0].score
        middle = scores.sort().values[3]
        task.threshold.fill_(float(middle))
        found = task.predict_step(batch, 0)
    assert torch.equal(found['score'], scores)
    assert torch.equal(found['alarm'], scores > middle)
    assert int(found['alarm'].sum()) == 4  # the score equal to the threshold is none
    assert torch.equal(found['modality'], found['logits'].argmax(dim=1))


def test_a_score_equal_to_the_threshold_is_no_alarm():
    faulty = torch.tensor([False, False, True, True])
    modality = torch.tensor([-1, -1, 0, 1])
    scores = torch.tensor([0.0, 1.0, 1.0, 2.0])
    found = detection_summary(scores, faulty, modality, torch.tensor([0, 0, 0, 1]), 1.0)
    assert found['recall'] == 0.5
    assert found['false_alarm_rate'] == 0.0
    assert found['localization_accuracy'] == 1.0


def test_gains_between_clean_samples_are_of_clean_samples(task):
    task.eval()
    with torch.no_grad():
        measured = task._measure(make_batch(same_clean=True))
    faulty = make_batch().labels.faulty
    # All clean windows are equal: there is no distance to divide by.
    assert measured['corrector_clean_gain'].isnan().all()
    assert measured['detector_clean_gain'].isnan().all()
    assert torch.isfinite(measured['corrector_fault_gain'][faulty]).all()


def test_a_true_map_holds_the_faulty_channels_only():
    batch = make_batch()
    masks, faulty = fault_masks(batch.labels), batch.labels.faulty
    assert masks['joints'].shape == (ROWS, 4, 32)
    assert masks['joints'][faulty, :2].all()
    assert not masks['joints'][:, 2:].any()
    assert not masks['joints'][~faulty].any()


def test_all_channels_of_a_clean_sample_are_masked_one_time_in_eight():
    rows = 4096
    signals = {'a': torch.zeros(rows, 16, 1), 'b': torch.zeros(rows, 16, 1)}
    true = {name: torch.zeros(rows, 16, 1, dtype=torch.bool) for name in signals}
    draws = Draws.of(0, 0, torch.arange(rows))
    kinds = dict.fromkeys(signals, 'series')
    masked = training_masks(kinds, signals, true, torch.zeros(rows, dtype=torch.bool), draws)
    count = {name: m[:, :, 0].sum(dim=1) for name, m in masked.items()}
    assert not ((count['a'] > 0) & (count['b'] > 0)).any()
    # One of two modalities is drawn; 16 channels are all masked by chance 1 in 60 000 times.
    for name in signals:
        share = float((count[name] == 16).float().mean())
        assert 0.5 * 0.10 < share < 0.5 * 0.15
    partly = (count['a'] > 0) & (count['a'] < 16)
    # The others are masked with a chance drawn from 0 to 0.6: 0.3 on average.
    drawn = draws.integers('modality', 0, 1) == 0
    assert float(count['a'][drawn & (count['a'] < 16)].float().mean()) / 16 == pytest.approx(
        0.3, abs=0.03
    )
    assert partly.any()


def test_the_second_round_is_masked_by_the_map_of_the_first(task):
    task.eval()
    observation = observed(task.autoencoder, make_batch(), task.description.modalities)
    block = task.block
    with torch.no_grad():
        for parameter in block.parameters():  # some start at 0, and nothing would depend on the map
            parameter += 0.1 * torch.randn_like(parameter)
        logits = block.detect(observation).map_logits
        maps = {n: m.float().sigmoid() for n, m in logits.items()}
        first = block.correct(observation, Masks(maps, logits))
        second = block.correct(observation, Masks(first.maps, logits))
        found = {}
        for rounds in (1, 2):
            block.rounds = rounds
            found[rounds] = block.correct_in_rounds(observation, logits)
    for name in SHAPES:
        assert torch.equal(found[1].signals[name], first.signals[name])
        assert torch.equal(found[2].signals[name], second.signals[name])
    assert any(not torch.equal(first.signals[n], second.signals[n]) for n in SHAPES)
