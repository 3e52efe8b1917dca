import pytest
import torch

from lipfault.models.autoencoder.autoencoder import Autoencoder
from lipfault.models.autoencoder.sizes import CoderConfig
from lipfault.models.relations.relations import Relations, RelationsConfig

STEPS = {'joints': 32, 'force': 64}


@pytest.fixture
def parts(tiny_modalities):
    torch.manual_seed(0)
    autoencoder = Autoencoder(tiny_modalities, STEPS, CoderConfig(4, (6, 6, 6), 8, 16, 12))
    config = RelationsConfig(width=32, depth=2, channels=8, positions=2, grid=4, patches=(4, 8))
    return autoencoder, Relations(autoencoder, tiny_modalities, config)


def related(count: int) -> dict[str, torch.Tensor]:
    """All modalities follow one number."""
    state = torch.rand(count, 1, 1) * 2 - 1
    return {
        'camera': state[..., None].expand(-1, 3, 16, 16),
        'joints': state.expand(-1, 4, 32),
        'force': -state.expand(-1, 2, 64),
    }


def test_learns_what_the_modalities_tell_about_each_other(parts):
    autoencoder, relations = parts
    optimizer = torch.optim.Adam(relations.parameters(), 5e-3)
    signals = related(64)
    with torch.no_grad():
        latents = autoencoder.encode(signals)
    errors = []
    for _ in range(60):
        error = relations.error(autoencoder, signals, latents)
        optimizer.zero_grad()
        error.backward()
        optimizer.step()
        errors.append(error.item())
    assert errors[-1] < 0.1 * errors[0]


def test_error_trains_nothing_but_the_relations(parts):
    autoencoder, relations = parts
    signals = related(4)
    relations.error(autoencoder, signals, autoencoder.encode(signals)).backward()
    assert all(p.grad is None for p in autoencoder.parameters())
    assert all(p.grad is not None for p in relations.parameters())


def test_resolutions_are_those_of_the_series(parts):
    _, relations = parts
    for name, signal in related(3).items():
        views = relations.residuals(name, signal)
        assert len(views) == relations.residual_count(name) == (0 if name == 'camera' else 3)
        assert all(view.shape == signal.shape for view in views)


def test_a_single_modality_is_predicted_by_nothing(tiny_modalities):
    alone = {'force': tiny_modalities['force']}
    autoencoder = Autoencoder(alone, STEPS, CoderConfig(4, (6,), 8, 16, 12))
    relations = Relations(autoencoder, alone)
    signals = {'force': torch.randn(3, 2, 64)}
    assert relations.predicted(signals) == {}
    assert relations.error(autoencoder, signals, autoencoder.encode(signals)) == 0


@pytest.mark.parametrize('steps', [2, 4, 8])
def test_a_window_shorter_than_the_reach_is_compared_with_what_there_is(tiny_modalities, steps):
    modalities = {'force': tiny_modalities['force']}
    autoencoder = Autoencoder(modalities, {'force': steps}, CoderConfig(4, (6,), 8, 2, 12))
    relations = Relations(autoencoder, modalities, RelationsConfig(patches=(1,), reach=4))
    windows = torch.randn(200, 2, steps)
    relations.fit_start('force', windows, torch.full((2,), 0.1))
    for residual in relations.residuals('force', windows):
        assert residual.shape == windows.shape
        assert residual.isfinite().all()
        assert residual.any()
