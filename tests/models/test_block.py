import pytest
import torch

from lipfault.errors import LipfaultError
from lipfault.losses import attribution
from lipfault.models.autoencoder.autoencoder import Autoencoder
from lipfault.models.autoencoder.sizes import CoderConfig
from lipfault.models.blocks.fault_map.block import FaultMapBlock
from lipfault.models.blocks.interface.config import BlockConfig
from lipfault.models.blocks.interface.types import (
    Correction,
    Masks,
    Observation,
    SideInfo,
    StepData,
)
from lipfault.models.blocks.registry import build_block
from lipfault.models.layers.running_scale import RunningScale
from lipfault.models.relations.relations import Relations, RelationsConfig

STEPS = {'joints': 32, 'force': 64}


SMALL = RelationsConfig(width=16, depth=2, channels=6, positions=2, grid=4, patches=(4, 8))
SIZES = BlockConfig('fault_map', 32, 24, 8, {'series': 12, 'image': 8})


@pytest.fixture
def autoencoder(tiny_modalities):
    return Autoencoder(tiny_modalities, STEPS, CoderConfig(4, (6, 6, 6), 8, 16, 12))


@pytest.fixture
def parts(autoencoder, tiny_modalities):
    relations = Relations(autoencoder, tiny_modalities, SMALL)
    block = FaultMapBlock(autoencoder, relations, tiny_modalities, SIZES)
    for head in block.corrector.heads.values():
        torch.nn.init.normal_(head.weight, std=0.1)
    for part in block.parts.values():
        torch.nn.init.normal_(part.inpainter.end.weight, std=0.1)
    return autoencoder, block.eval()


@pytest.fixture
def signals():
    return {
        'camera': torch.randn(5, 3, 16, 16),
        'joints': torch.randn(5, 4, 32),
        'force': torch.randn(5, 2, 64),
    }


def full(signals, value):
    return {n: torch.full_like(x if x.dim() == 3 else x[:, :1], value) for n, x in signals.items()}


def test_nothing_found_leaves_the_measured_signal(parts, signals):
    _, corrected = parts[1](Observation(signals), full(signals, 0.0))
    for name, x in signals.items():
        assert torch.equal(corrected.signals[name], x)


@pytest.mark.parametrize('name', ['camera', 'joints', 'force'])
def test_masked_and_opaque_values_have_no_influence(parts, signals, name):
    _, block = parts
    maps = full(signals, 0.0)
    maps[name] = torch.ones_like(maps[name])
    masks = Masks(maps, opaque=torch.ones(5, dtype=torch.bool))
    other = signals | {name: torch.randn_like(signals[name])}
    one = block.correct(Observation(signals), masks)
    two = block.correct(Observation(other), masks)
    torch.testing.assert_close(one.signals[name], two.signals[name])


@pytest.mark.parametrize('name', ['camera', 'joints', 'force'])
def test_prediction_of_a_modality_does_not_see_it(parts, signals, name):
    relations = parts[1].relations
    other = signals | {name: torch.randn_like(signals[name])}
    one, two = relations.predicted(signals), relations.predicted(other)
    assert torch.equal(one[name], two[name])
    assert all(not torch.equal(one[n], two[n]) for n in signals if n != name)


def test_one_sample_does_not_depend_on_the_others(parts, signals):
    _, block = parts
    whole = block.detect(Observation(signals))
    single = block.detect(Observation({n: x[2:3] for n, x in signals.items()}))
    torch.testing.assert_close(whole.logits[2:3], single.logits, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(whole.maps['force'][2:3], single.maps['force'], atol=1e-5, rtol=1e-4)


def test_shapes(parts, signals):
    found, corrected = parts[1](Observation(signals))
    assert found.logits.shape == (5, 3)
    assert found.score.shape == (5,)
    assert {n: tuple(m.shape) for n, m in found.maps.items()} == {
        'camera': (5, 1, 16, 16),
        'joints': (5, 4, 32),
        'force': (5, 2, 64),
    }
    assert {n: x.shape for n, x in corrected.signals.items()} == {
        n: x.shape for n, x in signals.items()
    }


def test_single_modality_works(tiny_modalities):
    modalities = {'force': tiny_modalities['force']}
    autoencoder = Autoencoder(modalities, STEPS, CoderConfig(4, (6,), 8, 16, 12))
    relations = Relations(autoencoder, modalities, SMALL)
    block = FaultMapBlock(autoencoder, relations, modalities, SIZES)
    found, corrected = block(Observation({'force': torch.randn(2, 2, 64)}))
    assert found.logits.shape == (2, 1)
    assert torch.isfinite(corrected.signals['force']).all()


def test_relations_are_not_trained_in_stage_two(parts):
    names = {n for n, p in parts[1].named_parameters() if p.requires_grad}
    assert names
    assert not any(n.startswith('relations.') for n in names)


def test_paper_block_shares_its_trunk_and_locates_nothing(autoencoder, tiny_modalities, signals):
    block = build_block(BlockConfig('paper', 32, 24, 8), autoencoder, dict, tiny_modalities)
    found, corrected = block.train()(Observation(signals))
    assert not block.locates
    assert found.maps == {}
    assert {n: x.shape for n, x in corrected.signals.items()} == {
        n: x.shape for n, x in signals.items()
    }
    for loss in (found.logits.sum(), corrected.signals['joints'].square().sum()):
        block.zero_grad()
        loss.backward(retain_graph=True)
        assert block.trunk[0].weight.grad.abs().sum() > 0


def test_unknown_block_is_named(autoencoder, tiny_modalities):
    with pytest.raises(LipfaultError, match=r"'magic'.*fault_map, paper, "):
        build_block(BlockConfig('magic'), autoencoder, dict, tiny_modalities)


def test_running_scale_ignores_faulty_samples():
    values, clean = torch.randn(400, 3) * torch.tensor([1.0, 10.0, 0.1]), torch.arange(400) < 300
    values[~clean] *= 1e4
    scale = RunningScale(3)
    scale.update(values, clean)
    torch.testing.assert_close(
        scale(values)[clean].square().mean(dim=0), torch.ones(3), atol=1e-4, rtol=0
    )


def test_running_scale_keeps_its_values_without_clean_samples():
    scale = RunningScale(2)
    scale.update(torch.full((4, 2), 3.0), torch.ones(4, dtype=torch.bool))
    before = scale.square.clone()
    scale.update(torch.full((4, 2), 99.0), torch.zeros(4, dtype=torch.bool))
    assert torch.equal(scale.square, before)


def test_missing_values_are_located_and_inpainted(parts, signals):
    _, block = parts
    missing = {n: m.bool() for n, m in full(signals, 0.0).items()}
    missing['joints'][:, 1] = True
    found, corrected = block(Observation(signals, SideInfo(missing)))
    assert found.maps['joints'][:, 1].min() > 0.999
    assert corrected.maps['joints'][:, 1].min() > 0.99
    wanted = corrected.inpainted['joints'][:, 1]
    torch.testing.assert_close(corrected.signals['joints'][:, 1], wanted, atol=1e-3, rtol=1e-3)


def test_a_repeated_frame_reaches_map_and_score(parts, signals):
    _, block = parts
    moving, unknown, still = (
        block.detect(Observation(signals, SideInfo(stillness=s)))
        for s in ({'camera': torch.zeros(5)}, {}, {'camera': torch.tensor([1.0, 0, 0, 0, 0])})
    )
    assert torch.equal(moving.score, unknown.score)
    changed = (still.score != moving.score) & (
        still.map_logits['camera'] != moving.map_logits['camera']
    ).flatten(1).any(1)
    assert changed.tolist() == [True, False, False, False, False]


def test_rows_of_side_information():
    some = SideInfo({'a': torch.arange(3)}, {'b': torch.arange(3) / 2}).rows(torch.tensor([2, 0]))
    assert some.missing['a'].tolist() == [2, 0]
    assert some.stillness['b'].tolist() == [1.0, 0.0]


def test_a_centered_scale_gives_standard_scores():
    torch.manual_seed(0)
    scale = RunningScale(2, center=True)
    spread = torch.tensor([2.0, 0.5])
    for _ in range(400):
        values = 5 + spread * torch.randn(64, 2)
        scale.update(values, torch.ones(64, dtype=torch.bool))
    scores = scale(5 + spread * torch.randn(4096, 2))
    assert scores.mean(0).tolist() == pytest.approx([0, 0], abs=0.15)
    assert scores.std(0).tolist() == pytest.approx([1, 1], abs=0.15)


def smooth(count):
    """Clean windows of the joints: one motion that all four channels follow, with little noise."""
    phase = 6.3 * torch.rand(count, 1, 1)
    angle = phase + torch.arange(32) / 9 + torch.arange(4)[:, None]
    return angle.sin() + 0.01 * torch.randn(count, 4, 32)


@pytest.mark.parametrize('channel', [0, 3])
def test_a_little_noise_on_any_channel_is_unusual(parts, channel):
    autoencoder, block = parts
    block.relations.fit_start('joints', smooth(400), torch.full((4,), 0.01))

    def largest(windows, is_clean=None):
        signals = {'joints': windows}
        latents = autoencoder.encode(signals)
        residuals = [windows, *block.relations.residuals('joints', windows)]
        every = [*residuals, windows]
        return block.parts['joints'].features.scores(every, latents['joints'], is_clean)[:, 0]

    for _ in range(20):
        largest(smooth(64), torch.ones(64, dtype=torch.bool))
    calm = largest(smooth(200))
    noisy = smooth(200)
    noisy[:, channel] += 0.03 * torch.randn(200, 32)
    assert largest(noisy).quantile(0.05) > calm.quantile(0.95)
    assert largest(noisy, None).shape == (200,)


def test_a_centered_scale_tells_a_small_spread_from_none():
    torch.manual_seed(0)
    scale = RunningScale(1, center=True)
    for _ in range(300):
        scale.update(-13 + 0.02 * torch.randn(64, 1), torch.ones(64, dtype=torch.bool))
    scores = scale(-13 + 0.02 * torch.randn(4096, 1))
    assert float(scores.std()) == pytest.approx(1, abs=0.05)


def test_the_contrastive_term_trains_the_detector_alone(parts, signals):
    _, block = parts
    block.train()
    some = torch.tensor([True, False, True, False, False])
    for term, reached in (
        (lambda found: found.embedding.square().sum(), {'detector'}),
        (lambda found: found.logits.sum(), {'detector'}),
        (lambda found: found.modality_logits.sum(), {'classifier', 'locator'}),
        (lambda found: sum(m.sum() for m in found.map_logits.values()), {'locator'}),
    ):
        block.zero_grad()
        term(block.detect(Observation(signals, is_clean=some))).backward()
        names = [n.split('.') for n, p in block.named_parameters() if p.grad is not None]
        moved = {n[2] if n[0] == 'parts' else n[0] for n in names}
        assert moved == reached


def test_a_classifier_adds_to_the_score_and_is_trained(parts, signals):
    _, block = parts
    observation = Observation(signals)
    before = block.detect(observation)
    for part in block.parts.values():
        with torch.no_grad():
            part.classifier.layers[-1].bias += 1
    after = block.detect(observation)
    torch.testing.assert_close(after.modality_logits, before.modality_logits + 1)
    assert not torch.allclose(after.logits, before.logits)
    modality = torch.tensor([[True, False, False]] * 5)
    visible = torch.ones(5, dtype=torch.bool)
    step_data = StepData(
        observation, {}, {}, modality, visible, Masks({}), after, Correction(*[{}] * 4), None
    )
    expected = attribution(after.modality_logits, modality, step_data.visible)
    assert block.own_terms(step_data) == {'class': expected}


def test_what_is_inferred_stays_in_the_range_of_the_sensor(parts, signals, tiny_modalities):
    autoencoder, block = parts
    for part in block.parts.values():
        torch.nn.init.normal_(part.inpainter.end.weight, std=1e3)
    _, corrected = block(Observation(signals), full(signals, 1.0))
    outside = 0
    for name in tiny_modalities:
        low, high = autoencoder.limits(name)
        assert (corrected.signals[name] >= low - 1e-6).all()
        assert (corrected.signals[name] <= high + 1e-6).all()
        outside += int((corrected.signals[name] >= high - 1e-6).sum())
    assert outside > 0  # else nothing was limited


def test_the_map_refiner_keeps_its_scale_in_evaluation(parts, signals):
    _, block = parts
    observation = Observation(
        {n: 5 * x for n, x in signals.items()}, is_clean=torch.ones(5, dtype=torch.bool)
    )
    masks = Masks(full(signals, 0.5), full(signals, 0.0), opaque=torch.ones(5, dtype=torch.bool))
    scales = {n: part.map_refiner.scale.square for n, part in block.parts.items()}
    before = {n: x.clone() for n, x in scales.items()}
    block.correct(observation, masks)
    assert all(torch.equal(scales[n], x) for n, x in before.items())
    block.train().correct(observation, masks)
    assert not any(torch.equal(scales[n], x) for n, x in before.items())


def test_the_autoencoder_is_no_part_of_the_weights_of_a_block(parts):
    autoencoder, block = parts
    assert block.autoencoder is autoencoder
    assert autoencoder not in list(block.modules())
    assert not any('coders' in name for name in block.state_dict())


def test_there_is_one_object_per_modality(parts):
    _, block = parts
    assert set(block.parts) == {'camera', 'joints', 'force'}
    assert {name for name, _ in block.named_children()} == {
        'relations', 'corrector', 'parts', 'detector'
    }  # fmt: skip


def test_monitors_are_offered_what_there_is(parts, autoencoder, tiny_modalities):
    assert list(parts[1].monitored()) == ['corrector', 'detector']
    block = build_block(BlockConfig('uncorrected'), autoencoder, dict, tiny_modalities)
    assert list(block.monitored()) == ['detector']
    assert block.detector.layers is None
