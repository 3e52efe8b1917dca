"""The block that corrects by the size of a fault."""

import math

import pytest
import torch

from lipfault.errors import LipfaultError
from lipfault.lipschitz.fault_gain_matrix import Box, certify
from lipfault.models.autoencoder.autoencoder import Autoencoder
from lipfault.models.autoencoder.sizes import CoderConfig
from lipfault.models.blocks.interface.config import BlockConfig
from lipfault.models.blocks.interface.types import Observation, SideInfo
from lipfault.models.blocks.posterior.block import PosteriorBlock
from lipfault.models.blocks.posterior.image_corrector import ImageCorrector
from lipfault.models.blocks.posterior.terms import log_energy_left, log_size_error
from lipfault.models.relations.relations import Relations, RelationsConfig

STEPS = {'joints': 32, 'force': 64}
SMALL = RelationsConfig(
    width=16, depth=2, channels=6, positions=2, grid=4, patches=(4, 8), components=8
)
SIZES = BlockConfig('posterior', 32, 24, 8, {'series': 12, 'image': 8}, rounds=2)


def build(modalities, seed=0):
    torch.manual_seed(seed)
    steps = {n: s for n, s in STEPS.items() if n in modalities}
    autoencoder = Autoencoder(modalities, steps, CoderConfig(4, (6, 6, 6), 8, 16, 12))
    relations = Relations(autoencoder, modalities, SMALL)
    clean = windows(modalities, 40)
    for name, modality in modalities.items():
        relations.fit_start(name, clean[name], autoencoder.noise(name, modality))
    block = PosteriorBlock(autoencoder, relations, modalities, SIZES)
    block.fit_start(clean)
    for parameter in corrector_parameters(block):
        torch.nn.init.normal_(parameter, std=0.1)
    return block.eval()


def corrector_parameters(block):
    return [*block.image_correctors.parameters(), *block.series_correctors.parameters()]


def windows(modalities, count):
    shapes = {'camera': (3, 16, 16), 'joints': (4, 32), 'force': (2, 64)}
    return {n: torch.randn(count, *shapes[n]) for n in modalities}


@pytest.fixture
def block(tiny_modalities):
    return build(tiny_modalities)


@pytest.fixture
def signals(block):
    return windows(block.modalities, 5)


def test_shapes_and_finite_values(block, signals):
    found, corrected = block(Observation(signals))
    assert found.logits.shape == (5, 3)
    assert {n: x.shape for n, x in corrected.signals.items()} == {
        n: x.shape for n, x in signals.items()
    }
    assert all(torch.isfinite(x).all() for x in corrected.signals.values())
    assert {n: m.shape for n, m in corrected.maps.items()} == {
        n: m.shape for n, m in found.maps.items()
    }


def test_one_sample_does_not_depend_on_the_others(block, signals):
    whole, _ = block(Observation(signals))
    _, corrected = block(Observation(signals))
    single, alone = block(Observation({n: x[2:3] for n, x in signals.items()}))
    torch.testing.assert_close(whole.logits[2:3], single.logits, atol=1e-3, rtol=1e-3)
    for name in signals:
        torch.testing.assert_close(
            corrected.signals[name][2:3], alone.signals[name], atol=1e-3, rtol=1e-3
        )


@pytest.mark.parametrize('name', ['joints', 'force', 'camera'])
def test_missing_values_have_no_influence_on_their_correction(block, signals, name):
    missing = torch.ones_like(signals[name], dtype=torch.bool)
    missing = missing[:, :1] if signals[name].dim() == 4 else missing
    results = []
    for other in (0.0, 1.0):
        changed = signals | {name: torch.full_like(signals[name], other)}
        observation = Observation(changed, SideInfo({name: missing}))
        corrector = dict(block.image_correctors.items()).get(name)
        with torch.no_grad():
            if isinstance(corrector, ImageCorrector):
                torch.nn.init.zeros_(corrector.end.weight)
                torch.nn.init.zeros_(corrector.fine_end.weight)
            residuals = block.residuals(signals)
            logits = {
                n: x.new_zeros(x[:, :1].shape if x.dim() == 4 else x.shape)
                for n, x in changed.items()
            }
            results.append(block._correct(observation, residuals, logits).signals[name])
    torch.testing.assert_close(*results, atol=2e-2, rtol=0)


def test_only_samples_with_a_fault_train_the_correction(block, signals):
    block.train()
    for name in signals:
        signals[name].requires_grad_()
    faulty = torch.tensor([[False] * 3, [True] * 3, [False] * 3, [False] * 3, [True] * 3])
    is_clean = ~faulty.any(dim=1)
    correction = block.detect(Observation(signals, is_clean=is_clean, faulty=faulty)).correction
    block.zero_grad()
    for name, corrected in correction.signals.items():
        assert corrected.shape == signals[name].shape
        corrected[[2, 3]].sum().backward(retain_graph=True)  # sample 0 is trained as a clean one
    assert all(p.grad is None or not p.grad.any() for p in corrector_parameters(block))
    sum(x[~is_clean].square().sum() for x in correction.signals.values()).backward()
    assert any(p.grad is not None and p.grad.any() for p in corrector_parameters(block))


def test_training_and_evaluation_correct_alike(block, signals):
    expected = block(Observation(signals))[1].signals
    block.train()
    block.autoencoder.eval()
    is_clean = torch.tensor([True, False, True, True, False])
    found = block.detect(Observation(signals, is_clean=is_clean)).correction.signals
    for name in ('joints', 'force'):
        low, high = block.autoencoder.limits(name)
        clamped = torch.minimum(torch.maximum(found[name], low), high)
        torch.testing.assert_close(clamped, expected[name], atol=5e-2, rtol=1e-2)


def test_given_maps_keep_the_signal_outside(block, signals):
    maps = {n: torch.zeros_like(x if x.dim() == 3 else x[:, :1]) for n, x in signals.items()}
    maps['force'][:, 0] = 1.0
    corrected = block(Observation(signals), maps)[1].signals
    assert torch.equal(corrected['force'][:, 1], signals['force'][:, 1])
    assert not torch.equal(corrected['force'][:, 0], signals['force'][:, 0])
    assert torch.equal(corrected['camera'], signals['camera'])


def test_single_modality_works(tiny_modalities):
    block = build({'force': tiny_modalities['force']})
    found, corrected = block(Observation({'force': torch.randn(2, 2, 64)}))
    assert found.logits.shape == (2, 1)
    assert torch.isfinite(corrected.signals['force']).all()


def test_signals_have_a_gradient_in_evaluation(block, signals):
    for name in signals:
        signals[name].requires_grad_()
    block(Observation(signals))[1].signals['joints'].sum().backward()
    assert signals['joints'].grad.abs().sum() > 0


def test_energy_left_counts_small_and_large_faults_alike():
    clean, noise = torch.zeros(2, 1, 8), torch.full((1,), 1e-6)
    observed = torch.stack([torch.full((1, 8), 1e-2), torch.full((1, 8), 10.0)])
    half = log_energy_left(observed / 2, clean, observed, noise)
    assert float(half) == pytest.approx(2 * torch.tensor(0.5).log().item(), abs=1e-3)


def test_size_error_is_zero_at_the_true_size():
    noise, fault = torch.tensor([0.5, 2.0]), torch.zeros(3, 2, 16)
    fault[:, 0, :8] = 5.0
    truth = torch.full((3, 2, 2), -4.6)
    truth[:, 0, 0] = math.log(100 + math.exp(-4.6))
    assert float(log_size_error(truth, fault, noise)) == pytest.approx(0, abs=1e-6)
    assert float(log_size_error(truth + 1, fault, noise)) == pytest.approx(1, abs=1e-3)


def test_no_certificate_is_claimed(block, signals):
    box = Box(
        {n: x.amin(0, keepdim=True) - 1 for n, x in signals.items()},
        {n: x.amax(0, keepdim=True) + 1 for n, x in signals.items()},
    )
    with pytest.raises(LipfaultError, match=r'SeriesCorrector.*no rule for a certified bound'):
        certify(block.impute, box, block)
