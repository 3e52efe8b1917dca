import pytest
import torch

from lipfault.models.autoencoder import Autoencoder, CoderConfig
from lipfault.models.block import BlockConfig, FaultMapBlock
from lipfault.models.running_scale import RunningScale

STEPS = {'joints': 32, 'force': 64}


@pytest.fixture
def parts(tiny_modalities):
    coder = CoderConfig(4, (6, 6, 6), 8, 16, 12)
    autoencoder = Autoencoder(tiny_modalities, STEPS, coder)
    block = FaultMapBlock(autoencoder, tiny_modalities, BlockConfig(32, 24, 8, None, 3))
    for head in block.corrector.heads.values():
        torch.nn.init.normal_(head.weight, std=0.1)
    for restorer in block.restorers.values():
        torch.nn.init.normal_(restorer.end.weight, std=0.1)
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
    _, corrected = parts[1](parts[0], signals, told=full(signals, 0.0))
    for name, x in signals.items():
        assert torch.equal(corrected.cleaned[name], x)


@pytest.mark.parametrize('name', ['camera', 'joints', 'force'])
def test_what_is_hidden_and_not_looked_at_has_no_influence(parts, signals, name):
    autoencoder, block = parts
    hide = full(signals, 0.0)
    hide[name] = torch.ones_like(hide[name])
    blind = torch.ones(5, dtype=torch.bool)
    other = signals | {name: torch.randn_like(signals[name])}
    one = block.correct(autoencoder, signals, hide, hide, blind)
    two = block.correct(autoencoder, other, hide, hide, blind)
    torch.testing.assert_close(one.cleaned[name], two.cleaned[name])


def test_own_channels_do_not_leak_into_what_is_inferred_from_the_rest(parts, signals):
    autoencoder, block = parts
    part = block.parts('joints', torch.device('cpu'))[0].bool()
    other = {n: x.clone() for n, x in signals.items()}
    other['joints'][:, part] += 3
    found = []
    for observed in (signals, other):
        residual = block.residuals(autoencoder, observed, autoencoder.encode(observed))['joints'][1]
        found.append((observed['joints'] - residual)[:, part])
    torch.testing.assert_close(found[0], found[1])


def test_parts_cover_each_channel_once(parts, signals):
    for name in signals:
        assert torch.equal(
            parts[1].parts(name, torch.device('cpu')).sum(dim=0), torch.ones(signals[name].shape[1])
        )


def test_one_sample_does_not_depend_on_the_others(parts, signals):
    autoencoder, block = parts
    whole = block.detect(autoencoder, signals)
    single = block.detect(autoencoder, {n: x[2:3] for n, x in signals.items()})
    torch.testing.assert_close(whole.logits[2:3], single.logits, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(whole.maps['force'][2:3], single.maps['force'], atol=1e-5, rtol=1e-4)


def test_shapes(parts, signals):
    found, corrected = parts[1](parts[0], signals)
    assert found.logits.shape == (5, 3)
    assert found.score.shape == (5,)
    assert {n: tuple(m.shape) for n, m in found.maps.items()} == {
        'camera': (5, 1, 16, 16),
        'joints': (5, 4, 32),
        'force': (5, 2, 64),
    }
    assert {n: x.shape for n, x in corrected.cleaned.items()} == {
        n: x.shape for n, x in signals.items()
    }


def test_single_modality_works(tiny_modalities):
    modalities = {'force': tiny_modalities['force']}
    autoencoder = Autoencoder(modalities, STEPS, CoderConfig(4, (6,), 8, 16, 12))
    block = FaultMapBlock(autoencoder, modalities, BlockConfig(16, 16, 4))
    found, corrected = block(autoencoder, {'force': torch.randn(2, 2, 64)})
    assert found.logits.shape == (2, 1)
    assert torch.isfinite(corrected.cleaned['force']).all()


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
