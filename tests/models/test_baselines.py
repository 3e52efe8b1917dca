"""What all baselines owe to the interface of the compute block, and what is special to each."""

import io
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from torch.distributions import Normal, kl_divergence

from lipfault.errors import LipfaultError
from lipfault.faults.draws import Draws
from lipfault.lipschitz.fault_gain_matrix import Box, certify, measure
from lipfault.lipschitz.modulation.modulation import modulate
from lipfault.losses import detection, reconstruction
from lipfault.models.autoencoder.autoencoder import Autoencoder
from lipfault.models.autoencoder.pca import fit_pca
from lipfault.models.autoencoder.sizes import CoderConfig
from lipfault.models.blocks.baselines.kalman import Smoother, smoothing_matrix
from lipfault.models.blocks.baselines.modality_dropout import ModalityDropoutBlock
from lipfault.models.blocks.baselines.pca import Projection
from lipfault.models.blocks.baselines.residual_attention import TokenAttention, TokenCoder
from lipfault.models.blocks.baselines.residual_score import ResidualScore
from lipfault.models.blocks.interface.config import BlockConfig
from lipfault.models.blocks.interface.types import Masks, Observation, SideInfo, StepData
from lipfault.models.blocks.registry import BLOCKS, block_class, build_block
from lipfault.models.relations.relations import Relations, RelationsConfig

CONFIGS = Path(__file__).parents[2] / 'configs' / 'block'
BASELINES = [kind for kind, path in BLOCKS.items() if '.baselines.' in path]
STATISTICS = ['statistics_mahalanobis', 'statistics_logistic', 'statistics_boosting']
CLOSED = ['uncorrected', 'detect_reject_correct', 'kalman', 'pca', *STATISTICS]
TRAINED = [kind for kind in BASELINES if kind not in CLOSED]
SETS = [('joints',), ('camera', 'force'), ('camera', 'joints', 'force')]
ALL = SETS[-1]
STEPS = {'joints': 32, 'force': 64}
SIZES = {'corrector_width': 16, 'detector_width': 12, 'embedding': 6, 'code': 5}
SHAPES = {'camera': (3, 16, 16), 'joints': (4, 32), 'force': (2, 64)}


def signals(names, count=6, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return {n: torch.randn(count, *SHAPES[n], generator=generator) for n in names}


@pytest.fixture(scope='module')
def make(tiny_modalities):
    """A stage 1 and a baseline on top, after its closed-form start, in evaluation mode."""

    def build(kind, names=ALL):
        torch.manual_seed(1)
        modalities = {n: tiny_modalities[n] for n in names}
        steps = {n: s for n, s in STEPS.items() if n in names}
        autoencoder = Autoencoder(modalities, steps, CoderConfig(4, (6, 6), 8, 16, 12))
        autoencoder = autoencoder.requires_grad_(False).eval()
        config = BlockConfig(kind, **SIZES)
        sizes = RelationsConfig(width=16, depth=2, channels=6, positions=2, grid=4)
        block = build_block(
            config, autoencoder, lambda: Relations(autoencoder, modalities, sizes), modalities
        )
        block.fit_start(signals(names, 40, seed=3))
        return autoencoder, block.eval()

    return build


def step_data(block, names=ALL, count=6):
    observed, clean = signals(names, count), signals(names, count, seed=1)
    masks = {n: (x if x.dim() == 3 else x[:, :1]) > 1 for n, x in observed.items()}
    some = torch.arange(count) % 2 == 0
    observation = Observation(observed, is_clean=some)
    found = block.detect(observation)
    given = Masks({}, found.map_logits)
    corrected = block.correct(observation, given)
    draws = Draws.of(0, 0, torch.arange(count))
    modality = torch.stack([m.flatten(1).any(dim=1) for m in masks.values()], dim=1)
    visible = torch.ones(count, dtype=torch.bool)
    return StepData(observation, clean, masks, modality, visible, given, found, corrected, draws)


@pytest.mark.parametrize('names', SETS, ids=len)
@pytest.mark.parametrize('kind', BASELINES)
def test_any_number_of_modalities_and_missing_values(make, kind, names):
    autoencoder, block = make(kind, names)
    observed = signals(names)
    observed[names[0]][0] = 0
    missing = {names[0]: torch.ones(6, *SHAPES[names[0]], dtype=torch.bool)}
    found, corrected = block(Observation(observed, SideInfo(missing)))
    assert not block.locates
    assert found.logits.shape == (6, len(names))
    assert len(found.embedding) == len(found.scaled) == 6
    assert torch.isfinite(found.score).all()
    for name, signal in observed.items():
        assert corrected.signals[name].shape == signal.shape
        assert corrected.signals[name].dtype == torch.float32
        assert torch.isfinite(corrected.signals[name]).all()
        assert corrected.latents[name].shape[1:] == autoencoder.latent_shape(name)
        assert found.latents[name].shape[1:] == autoencoder.latent_shape(name)


@pytest.mark.parametrize('kind', BASELINES)
def test_one_sample_does_not_depend_on_the_others(make, kind):
    _, block = make(kind)
    observed = signals(ALL)
    whole, single = (
        block(Observation({n: x[rows] for n, x in observed.items()}))
        for rows in (slice(None), slice(2, 3))
    )
    torch.testing.assert_close(whole[0].logits[2:3], single[0].logits, atol=1e-4, rtol=1e-4)
    for name in ALL:
        torch.testing.assert_close(
            whole[1].signals[name][2:3], single[1].signals[name], atol=1e-4, rtol=1e-4
        )


@pytest.mark.parametrize('kind', BASELINES)
def test_weights_come_back(make, kind):
    _, block = make(kind)
    block.train()
    for _ in range(3):
        step_data(block)
    file = io.BytesIO()
    torch.save(block.eval().state_dict(), file)
    file.seek(0)
    _, other = make(kind)
    other.load_state_dict(torch.load(file, weights_only=True))
    one, two = block(Observation(signals(ALL))), other(Observation(signals(ALL)))
    assert torch.equal(one[0].logits, two[0].logits)
    assert all(torch.equal(one[1].signals[n], two[1].signals[n]) for n in ALL)


def reached(block):
    found = {
        n.split('.')[0] for n, p in block.named_parameters() if p.grad is not None and p.grad.any()
    }
    block.zero_grad()
    return found


@pytest.mark.parametrize(
    ('kind', 'parts', 'own'),
    [
        ('denoising', {'coders', 'corrector'}, set()),
        ('unimodal', {'coders', 'corrector'}, set()),
        ('modality_dropout', {'corrector'}, {'corrector'}),
        ('vae', {'experts', 'corrector'}, {'experts', 'corrector'}),
        ('adversarial', {'corrector'}, {'corrector', 'discriminator'}),
        ('residual_attention', {'coders', 'corrector', 'detector'},
         {'coders', 'corrector', 'detector'}),
    ],
)  # fmt: skip
def test_gradients_reach_what_they_should(make, kind, parts, own):
    autoencoder, block = make(kind)
    if kind == 'denoising':  # zero at the start, nothing gets through to the layers before
        torch.nn.init.normal_(block.corrector[-1].weight)
    if kind == 'unimodal':
        for part in block.corrector.parts.values():
            torch.nn.init.normal_(part.layers[-1].weight)
    step = step_data(block.train())
    reconstruction(step.correction.signals, step.clean).backward(retain_graph=True)
    assert reached(block) == parts
    terms = block.own_terms(step)
    assert all(torch.isfinite(term) for term in terms.values())
    if own:
        sum(terms.values()).backward(retain_graph=True)
    assert reached(block) == own
    faulty = torch.tensor([[True, False, False]] * 6)
    detection(step.detection.logits, faulty).backward()
    assert reached(block) == (parts if kind == 'residual_attention' else {'detector'})
    assert not any(p.grad is not None for p in autoencoder.parameters())


@pytest.mark.parametrize('kind', CLOSED)
def test_closed_forms_have_nothing_to_train(make, kind):
    assert not any(p.requires_grad for p in make(kind)[1].parameters())


@pytest.mark.parametrize('kind', [k for k in BASELINES if k != 'residual_attention'])
def test_certificate_is_above_what_is_measured(make, kind):
    names = ('joints', 'force')
    _, block = make(kind, names)
    clean, other = signals(names, 8), signals(names, 8, seed=9)
    box = Box(*({n: torch.full((1, *SHAPES[n]), end) for n in names} for end in (-6.0, 6.0)))

    with torch.no_grad():
        bounds = certify(block.impute, box, block)
        for source in names:
            gains = measure(block.impute, clean, other, source)
            for output, found in gains.items():
                assert 0 <= float(found.max()) <= bounds[output].gains[source] * (1 + 1e-6)
                assert bounds[output].gains[source] < float('inf')


def test_attention_has_no_certificate_and_says_so(make):
    _, block = make('residual_attention', ('joints',))
    box = Box(*({'joints': torch.full((1, 4, 32), end)} for end in (-1.0, 1.0)))
    with torch.no_grad(), pytest.raises(LipfaultError, match='attention'):
        certify(block.impute, box, block)


@pytest.mark.parametrize('path', sorted(CONFIGS.glob('*.yaml')), ids=lambda p: p.stem)
def test_configs_fit_their_block(make, tiny_modalities, path):
    settings = yaml.safe_load(path.read_text())['model']['init_args']
    assert settings['block']['kind'] == path.stem
    if path.stem not in BASELINES:
        return
    _, block = make(path.stem)
    for name in settings['config']['clip']:
        module = block.get_submodule(name.removeprefix('block').removeprefix('.'))
        assert any(p.requires_grad for p in module.parameters())
    modulate(block, settings['config']['modulation'])


def test_every_block_but_our_own_has_a_config():
    assert {p.stem for p in CONFIGS.glob('*.yaml')} == set(BLOCKS) - {'fault_map'}


@pytest.mark.parametrize(
    ('kind', 'match'),
    [('nowhere.Block', 'cannot import'), ('lipfault.errors.LipfaultError', 'not a ComputeBlock')],
)
def test_a_block_of_your_own_is_checked(kind, match):
    with pytest.raises(LipfaultError, match=match):
        block_class(kind)


def test_a_block_of_your_own_is_found():
    assert block_class('lipfault.models.blocks.baselines.vae.VaeBlock') is block_class('vae')


def test_residual_score_is_a_standard_score():
    torch.manual_seed(0)
    errors = torch.randn(500, 2).exp() * torch.tensor([1.0, 50.0])
    score = ResidualScore(2)
    score.fit(errors)
    scaled = score.scaled(errors)
    torch.testing.assert_close(scaled.mean(0), torch.zeros(2), atol=1e-4, rtol=0)
    torch.testing.assert_close(scaled.std(0), torch.ones(2), atol=5e-3, rtol=0)
    assert torch.equal(scaled, score.scaled(errors, torch.ones(500, dtype=torch.bool)))


def test_rejects_the_modality_at_fault_and_infers_it_from_the_others(make):
    _, block = make('detect_reject_correct')
    calm = signals(ALL, 5, seed=3)
    faulty = calm | {'joints': 30 * calm['joints']}
    one = block.correct(Observation(faulty), Masks({}))
    two = block.correct(Observation(calm | {'joints': -50 * calm['joints']}), Masks({}))
    torch.testing.assert_close(one.signals['joints'], two.signals['joints'])
    torch.testing.assert_close(one.signals['joints'], one.inpainted['joints'])
    others = ('camera', 'force')
    oracle = {n: torch.zeros_like(x if x.dim() == 3 else x[:, :1]) for n, x in faulty.items()}
    oracle['joints'][:, 2, 5:9] = 1
    three = block.correct(Observation(faulty), Masks(oracle))
    torch.testing.assert_close(three.signals['joints'], three.inpainted['joints'])
    assert all(torch.equal(three.signals[n], calm[n]) for n in others)


def test_modality_dropout_leaves_one_and_half_of_the_others(make):
    _, block = make('modality_dropout')
    assert isinstance(block, ModalityDropoutBlock)
    step = step_data(block, count=3000)
    there = torch.stack([x.flatten(1).any(1) for x in block.kept(step).values()], dim=1)
    assert there.any(dim=1).all()
    assert there.float().mean(dim=0).tolist() == pytest.approx([2 / 3] * 3, abs=0.03)
    again = block.kept(step)
    assert all(torch.equal(again[n], x) for n, x in block.kept(step).items())


@torch.no_grad()
def test_posterior_is_the_product_of_the_experts(make):
    autoencoder, block = make('vae', ('joints', 'force'))
    observed = signals(('joints', 'force'))
    mean, variance = block.posterior(observed)
    grid = torch.linspace(-6, 6, 4001, dtype=torch.float64)
    logarithm = Normal(0, 1).log_prob(grid)
    for name, expert in block.experts.items():
        latent = autoencoder.encode(observed)[name].flatten(1)
        center, log_variance = expert(latent)[2].double().chunk(2)
        logarithm = logarithm + Normal(center[0], (log_variance[0] / 2).exp()).log_prob(grid)
    weight = logarithm.softmax(0)
    expected = (weight * grid).sum()
    assert float(mean[2, 0]) == pytest.approx(float(expected), abs=1e-4)
    spread = (weight * (grid - expected).square()).sum()
    assert float(variance[2, 0]) == pytest.approx(float(spread), abs=1e-4)


@torch.no_grad()
def test_divergence_of_the_posterior_from_the_prior(make):
    _, block = make('vae')
    step = step_data(block)
    mean, variance = block.posterior(step.observation.signals)
    wanted = kl_divergence(Normal(mean, variance.sqrt()), Normal(0, 1)).sum(1).mean()
    numbers = 3 * 16 * 16 + 4 * 32 + 2 * 64
    term = block.own_terms(step)['kl']
    assert float(term) == pytest.approx(float(2 * 0.1 * wanted / numbers), rel=1e-4)


def test_corrector_is_taught_the_opposite_of_the_discriminator(make, monkeypatch):
    _, block = make('adversarial')
    gradients = []
    for reversed_ in (True, False):
        if not reversed_:
            monkeypatch.setattr(
                'lipfault.models.blocks.baselines.adversarial.Reversal.apply', lambda values: values
            )
        step = step_data(block)
        block.zero_grad()
        block.own_terms(step)['adversarial'].backward()
        gradients.append([m[0].weight.grad.clone() for m in (block.corrector, block.discriminator)])
    torch.testing.assert_close(gradients[0][0], -gradients[1][0])
    torch.testing.assert_close(gradients[0][1], gradients[1][1])
    assert gradients[0][0].any()


def test_projection_is_the_posterior_mean_of_probabilistic_pca():
    torch.manual_seed(0)
    factors = torch.randn(3, 8) * torch.tensor([3.0, 2.0, 1.0])[:, None]
    samples = torch.randn(4000, 3) @ factors + 0.3 * torch.randn(4000, 8) + 1
    projection = Projection(8, 3)
    projection.fit(samples)
    pca = fit_pca(samples, 3)
    variance = pca.encode(samples).var(dim=0)
    noise = (samples.var(dim=0).sum() - variance.sum()) / 5
    loadings = pca.components.T * (variance - noise).sqrt()
    middle = torch.linalg.inv(loadings.T @ loadings + noise * torch.eye(3))
    wanted = (samples - pca.mean) @ loadings @ middle @ loadings.T + pca.mean
    torch.testing.assert_close(projection(samples), wanted, atol=1e-4, rtol=1e-4)


def test_projection_keeps_its_precision_under_autocast():
    projection = Projection(30, 30)
    samples = torch.randn(200, 30)
    projection.fit(samples)
    with torch.autocast('cpu', torch.bfloat16):
        torch.testing.assert_close(projection(samples), samples, atol=1e-4, rtol=0)


def test_fewer_windows_than_components():
    projection = Projection(30, 20)
    projection.fit(torch.randn(6, 30))
    assert torch.isfinite(projection(torch.randn(2, 30))).all()


def test_attention_is_the_usual_one():
    attention, reference = TokenAttention(16), torch.nn.MultiheadAttention(16, 8, batch_first=True)
    layers = (attention.query, attention.key, attention.value)
    with torch.no_grad():
        reference.in_proj_weight.copy_(torch.cat([layer.weight for layer in layers]))
        reference.in_proj_bias.copy_(torch.cat([layer.bias for layer in layers]))
        reference.out_proj.load_state_dict(attention.out.state_dict())
        tokens = torch.randn(3, 5, 16)
        wanted = reference(tokens, tokens, tokens)[0]
        torch.testing.assert_close(attention(tokens), wanted, atol=1e-5, rtol=1e-4)


def test_tokens_know_which_of_them_are_faulty(tiny_modalities):
    camera = TokenCoder(tiny_modalities['camera'], 1, 16)
    assert camera.grid == (8, 8)
    mask = torch.zeros(1, 1, 16, 16)
    mask[0, 0, 5, 14] = 1
    touched = camera.faulty(mask).view(8, 8)
    assert touched.nonzero().tolist() == [[2, 7]]
    joints = TokenCoder(tiny_modalities['joints'], 32, 16)
    mask = torch.zeros(1, 4, 32)
    mask[0, 3, 20] = 1
    assert joints.faulty(mask).nonzero().tolist() == [[0, 20]]


def test_unimodal_nothing_passes_from_one_modality_to_another(make):
    _, block = make('unimodal')
    for part in block.corrector.parts.values():
        torch.nn.init.normal_(part.layers[-1].weight)
    one, two = signals(ALL), signals(ALL) | {'camera': signals(ALL, seed=5)['camera']}
    first, second = block(Observation(one)), block(Observation(two))
    moved = (first[0].logits != second[0].logits).all(dim=0)
    assert moved.tolist() == [name == 'camera' for name in ALL]
    for name in ALL:
        same = torch.equal(first[1].signals[name], second[1].signals[name])
        assert same == (name != 'camera')


def test_kalman_smooths_noise_away_and_is_what_the_filter_gives():
    generator = np.random.default_rng(0)
    clean = np.sin(np.arange(64) / 10 + generator.uniform(0, 6, (60, 1)))
    noisy = clean + 0.1 * generator.standard_normal(clean.shape)
    smoother = Smoother(1, 64)
    smoother.fit(torch.from_numpy(noisy[:50, None]))
    smooth = smoother(torch.from_numpy(noisy[50:, None]))[:, 0].numpy()
    assert np.square(smooth - clean[50:]).mean() < np.square(noisy[50:] - clean[50:]).mean() / 3
    line = torch.linspace(-0.5, 0.5, 64)[None, None]
    torch.testing.assert_close(smoother(line), line, atol=0.02, rtol=0)


def test_kalman_leaves_images_alone(make):
    _, block = make('kalman')
    observed = signals(ALL)
    restored = block.reconstruct(observed)[1]
    assert torch.equal(restored['camera'], observed['camera'])
    assert not torch.equal(restored['joints'], observed['joints'])


def test_kalman_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, 'simdkalman', None)
    with pytest.raises(LipfaultError, match=r'lipfault\[baselines\]'):
        smoothing_matrix(np.zeros((3, 8)))
