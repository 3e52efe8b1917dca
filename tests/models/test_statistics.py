"""Closed-form statistics: clean models against known values, scores against scikit-learn."""

import io
import sys

import pytest
import torch

from lipfault.errors import LipfaultError
from lipfault.models.autoencoder.autoencoder import Autoencoder
from lipfault.models.autoencoder.sizes import CoderConfig
from lipfault.models.blocks.baselines import statistics_blocks
from lipfault.models.blocks.baselines.clean_features import FLOOR, ImageFeatures, SeriesFeatures
from lipfault.models.blocks.baselines.clean_models import (
    Autoregression,
    ChannelRegression,
    KernelRegression,
)
from lipfault.models.blocks.baselines.statistics_scores import (
    DEPTH,
    RATE,
    TREES,
    BoostingScore,
    LogisticScore,
    MahalanobisScore,
)
from lipfault.models.blocks.interface.config import BlockConfig
from lipfault.models.blocks.interface.types import Masks, Observation, SideInfo, StepData
from lipfault.models.blocks.registry import build_block

pytest.importorskip('sklearn')

NAMES = ('camera', 'joints', 'force')
SHAPES = {'camera': (3, 16, 16), 'joints': (4, 32), 'force': (2, 64)}
KINDS = ('statistics_mahalanobis', 'statistics_logistic', 'statistics_boosting')


def clean_signals(count, seed, names=NAMES):
    """Smooth signals that one hidden angle drives, with a little noise."""
    generator = torch.Generator().manual_seed(seed)
    angle = 6 * torch.rand(count, 1, 1, generator=generator)
    found = {}
    for name in names:
        shape = SHAPES[name]
        rows = torch.linspace(0, 1, shape[-1])
        channels = torch.arange(shape[0]).view(1, -1, 1)
        waves = (angle + channels + rows).sin()
        if len(shape) == 3:
            waves = waves[:, :, None] * torch.linspace(0.5, 1, shape[1])[:, None]
        found[name] = waves + 0.01 * torch.randn(count, *shape, generator=generator)
    return found


@pytest.fixture
def make(tiny_modalities):
    def build(kind, names=NAMES, windows=80):
        torch.manual_seed(1)
        modalities = {n: tiny_modalities[n] for n in names}
        steps = {n: SHAPES[n][1] for n in names if n != 'camera'}
        autoencoder = Autoencoder(modalities, steps, CoderConfig(4, (6, 6), 8, 16, 12))
        autoencoder = autoencoder.requires_grad_(False).eval()
        block = build_block(BlockConfig(kind), autoencoder, lambda: None, modalities)
        block.fit_start(clean_signals(windows, 3, names))
        return block.eval()

    return build


def step_data(block, count, seed):
    """Half of the windows clean; every fourth with a noisy series, every fourth with an image."""
    observed = clean_signals(count, seed)
    modality = torch.zeros(count, 3, dtype=torch.bool)
    modality[0::4, 0] = modality[1::4, 1] = True
    generator = torch.Generator().manual_seed(seed + 1)
    for index, name in enumerate(('camera', 'joints')):
        noise = torch.randn(observed[name].shape, generator=generator)
        rows = modality[:, index].view(-1, *[1] * (noise.dim() - 1))
        observed[name] = observed[name] + 0.2 * noise * rows
    observation = Observation(observed, is_clean=~modality.any(dim=1))
    detection = block.detect(observation)
    return StepData(
        observation, {}, {}, modality, torch.ones(count, dtype=torch.bool), Masks({}), detection,
        None, None,
    )  # fmt: skip


def test_autoregression_finds_the_innovations():
    torch.manual_seed(0)
    noise = torch.randn(200, 2, 60) * torch.tensor([0.1, 2.0])[:, None]
    series = torch.zeros_like(noise)
    for t in range(1, 60):
        series[..., t] = torch.tensor([0.9, -0.5]) * series[..., t - 1] + noise[..., t]
    model = Autoregression(2, 3)
    model.fit(series)
    wanted = torch.tensor([[0, 0, 0.9], [0, 0, -0.5]], dtype=torch.float64)
    torch.testing.assert_close(model.weight, wanted, atol=0.03, rtol=0)
    residual = model(series)
    assert residual.shape == (200, 2, 57)
    torch.testing.assert_close(residual, noise[..., 3:], atol=0.3, rtol=0)


def test_channel_regression_knows_sine_and_products_but_not_the_channel_itself():
    torch.manual_seed(0)
    angle, other = 6 * torch.rand(300, 1, 20), torch.randn(300, 1, 20)
    physical = torch.cat([angle, other, angle.sin() * other], dim=1)
    model = ChannelRegression(torch.tensor([True, False, False]))
    model.fit(physical, physical)
    residual = model(physical, physical)
    assert float(residual[:, 2].square().mean()) < 1e-3
    # The angle itself does not follow from its sine times another channel.
    assert float(residual[:, 0].square().mean()) > 0.5
    for channel in range(3):
        moved = physical.clone()
        moved[:, channel] += 0.7
        change = model(moved, moved)[:, channel] - residual[:, channel]
        torch.testing.assert_close(change, torch.full_like(change, 0.7), atol=1e-4, rtol=0)


def test_kernel_regression_is_that_of_scikit_learn():
    from sklearn.kernel_ridge import KernelRidge

    torch.manual_seed(0)
    inputs = torch.randn(120, 3)
    targets = torch.stack([inputs[:, 0].sin(), inputs[:, 0] + 0.5 * inputs[:, 1]], dim=1)
    model = KernelRegression(3, 2, centers=200)
    model.fit(inputs, targets)
    scaled = (inputs - model.mean) * model.scale
    mean = targets.mean(dim=0)
    reference = KernelRidge(alpha=1.0, kernel='rbf', gamma=1.0).fit(
        scaled.double().numpy(), (targets - mean).double().numpy()
    )
    new = torch.randn(30, 3)
    wanted = reference.predict(((new - model.mean) * model.scale).double().numpy())
    torch.testing.assert_close(
        model(new), torch.from_numpy(wanted).float() + mean, atol=1e-4, rtol=1e-3
    )
    assert float(torch.pdist(scaled).median()) == pytest.approx(1, rel=1e-4)
    # The third input has no influence on the targets.
    assert model.scale[2] < 0.2 * model.scale[0]


def features(count, seed):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(count, 7, generator=generator) @ torch.diag(torch.arange(1.0, 8.0)) + 2


def test_mahalanobis_is_that_of_scikit_learn():
    from sklearn.covariance import LedoitWolf

    clean, new = features(400, 0), features(20, 1)
    score = MahalanobisScore([4, 3])
    score.fit_clean(clean)
    fitted, held, found = (score.scaled(x).double() for x in (clean[:280], clean[280:], new))
    wanted = []
    for columns in (slice(0, 4), slice(4, 7), slice(0, 7)):
        model = LedoitWolf().fit(fitted[:, columns].numpy())
        rest, distances = (
            torch.from_numpy(model.mahalanobis(x[:, columns].numpy())).log() for x in (held, found)
        )
        wanted.append((distances - rest.mean()) / rest.std(correction=0))
    logits = score(found)
    total = wanted.pop().float()
    torch.testing.assert_close(logits.logsumexp(dim=1), total, atol=1e-3, rtol=1e-3)
    shares = torch.stack(wanted, dim=1).float().softmax(dim=1)
    torch.testing.assert_close(logits.softmax(dim=1), shares, atol=1e-3, rtol=1e-3)


def labelled(score):
    score.fit_clean(features(300, 0))
    scaled = score.scaled(features(600, 2))
    first = scaled[:, 1] * scaled[:, 5] + 0.1 * scaled[:, 0] > 0
    return scaled, torch.stack([first, scaled[:, 2] > 0.8], dim=1), score.scaled(features(50, 4))


def test_logistic_score_is_that_of_scikit_learn():
    from sklearn.linear_model import LogisticRegression

    score = LogisticScore([4, 3])
    scaled, modality, new = labelled(score)
    score.fit_faults(scaled, modality)
    for index in range(2):
        model = LogisticRegression(C=0.01, max_iter=300)
        model.fit(scaled.double().numpy(), modality[:, index].numpy())
        wanted = torch.from_numpy(model.decision_function(new.double().numpy())).float()
        torch.testing.assert_close(score(new)[:, index], wanted, atol=1e-5, rtol=1e-5)


def test_boosted_trees_are_those_of_scikit_learn():
    from sklearn.ensemble import GradientBoostingClassifier

    score = BoostingScore([4, 3])
    scaled, modality, new = labelled(score)
    assert not score(new).any()
    score.fit_faults(scaled, modality)
    for index in range(2):
        model = GradientBoostingClassifier(
            n_estimators=TREES, max_depth=DEPTH, learning_rate=RATE, subsample=0.5,
            max_features=2, min_samples_leaf=5, init='zero', random_state=0,
        ).fit(scaled.numpy(), modality[:, index].numpy())  # fmt: skip
        wanted = torch.from_numpy(model.decision_function(new.numpy())).float()
        torch.testing.assert_close(score(new)[:, index], wanted, atol=1e-5, rtol=1e-5)
    assert ((score(scaled) > 0) == modality).float().mean() > 0.95


def test_a_modality_without_faults_keeps_its_logits():
    score = LogisticScore([4, 3])
    scaled, modality, new = labelled(score)
    modality[:, 1] = False
    score.fit_faults(scaled, modality)
    assert score(new)[:, 0].any()
    assert not score(new)[:, 1].any()


def test_features_of_a_repeated_value_and_of_a_constant_image_are_finite(tiny_modalities):
    series = SeriesFeatures(tiny_modalities['joints'], 32, predicted=False)
    windows = clean_signals(40, 0)
    series.fit(windows['joints'], windows['joints'])
    series.fit_scale(windows['joints'], windows['joints'], None)
    stuck = torch.zeros(2, 4, 32)
    found = series(stuck, stuck, None)
    assert found.shape == (2, series.count)
    least = torch.tensor(FLOOR).log()
    assert torch.isfinite(found).all()
    assert float(found.min()) == pytest.approx(float(least))
    image = ImageFeatures(tiny_modalities['camera'], predicted=False)
    dark = torch.zeros(12, 3, 16, 16)
    image.fit(dark, dark)
    image.fit_scale(dark, dark, None)
    assert torch.isfinite(image(dark + 1, dark, None)).all()
    assert image(dark, dark, None).shape == (12, image.count)


@pytest.mark.parametrize('kind', KINDS)
def test_finds_faults_and_their_modality_and_comes_back(make, kind):
    block = make(kind)
    if kind != 'statistics_mahalanobis':
        block.train()
        for seed in range(4):
            assert block.own_terms(step_data(block, 60, 10 + seed)) == {}
    step = step_data(block.eval(), 40, 30)
    is_clean, logits = step.observation.is_clean, step.detection.logits
    faulty = step.modality.any(dim=1)
    score = step.detection.score
    assert (score[faulty][:, None] > score[is_clean]).float().mean() > 0.97
    right = logits.argmax(dim=1)[faulty] == step.modality.float().argmax(dim=1)[faulty]
    assert right.float().mean() > 0.9
    file = io.BytesIO()
    torch.save(block.state_dict(), file)
    file.seek(0)
    other = make(kind, windows=30)
    assert not torch.equal(other.detect(step.observation).logits, logits)
    other.load_state_dict(torch.load(file, weights_only=True))
    assert torch.equal(other.detect(step.observation).logits, logits)


def test_collects_a_bounded_number_of_windows_and_only_visible_ones(make, monkeypatch):
    monkeypatch.setattr(statistics_blocks, 'KEPT', 50)
    block = make('statistics_logistic').train()
    step = step_data(block, 20, 5)
    step.visible[3:] = False
    block.own_terms(step)
    assert [len(f) for f, _ in block._collected] == [3]
    for seed in range(6):
        block.own_terms(step_data(block, 20, seed))
    kept = [len(f) for f, _ in block._collected]
    assert kept == [20, 20, 20]


@pytest.mark.parametrize('names', [('joints',), ('camera',), ('joints', 'force')], ids=len)
def test_no_modality_is_predicted_from_itself(make, names):
    block = make('statistics_mahalanobis', names)
    assert len(block.models.predictors) == (len(names) if len(names) > 1 else 0)
    windows = clean_signals(5, 0, names)
    found = block.detect(Observation(windows))
    assert found.scaled.shape == (5, sum(block.detector.sizes))


def test_a_repeated_frame_is_found(make):
    block = make('statistics_mahalanobis')
    windows = clean_signals(5, 0)
    still = torch.tensor([0.0, 0, 1, 0, 0])
    logits = block.detect(Observation(windows, SideInfo(stillness={'camera': still}))).logits
    before = block.detect(Observation(windows)).logits
    moved = (logits - before).abs().amax(dim=1) > 1e-4
    assert moved.tolist() == [False, False, True, False, False]
    assert logits[2].argmax() == 0
    assert logits[2, 0] > before[2, 0] + 10


def test_too_few_windows_are_refused(make):
    with pytest.raises(LipfaultError, match=r'statistics_logistic: needs at least 10 .* got 9'):
        make('statistics_logistic', windows=9)


@pytest.mark.parametrize('kind', KINDS)
def test_says_what_to_install(make, monkeypatch, kind):
    monkeypatch.setitem(sys.modules, 'sklearn.covariance', None)
    with pytest.raises(LipfaultError, match=r'lipfault\[baselines\]'):
        make(kind)
