"""Kinds of norms, and invalid weights: a right value or a clear error."""

import pytest
import torch
from torch import nn

from lipfault.errors import LipfaultError
from lipfault.lipschitz.norms.norms import (
    certified_norm,
    column_norms,
    estimate_norm,
    estimate_norms,
    exact_norm,
    frobenius_norm,
)

NORMS = [(estimate_norm, 'estimate'), (exact_norm, 'exact'), (certified_norm, 'certificate')]


def with_weight(weight):
    layer = nn.Linear(weight.shape[1], weight.shape[0])
    layer.weight = nn.Parameter(weight)
    return layer


@pytest.mark.parametrize(('norm', 'kind'), NORMS)
@pytest.mark.parametrize(
    'weight',
    [
        torch.randn(30, 20),
        torch.randn(20, 30).T,
        torch.randn(1, 9),
        torch.randn(9, 1),
        torch.randn(30, 20)[::2, ::3],
        torch.randn(30, 1) @ torch.randn(1, 20),
        torch.randn(30, 20, dtype=torch.float16),
        torch.randn(30, 20, dtype=torch.bfloat16),
        1e-25 * torch.randn(4, 4),
        1e15 * torch.randn(4, 4),
    ],
    ids=['', 'transposed', 'row', 'column', 'strided', 'rank 1', 'half', 'bf16', 'tiny', 'huge'],
)
def test_norm_of_odd_weights(norm, kind, weight):
    right = float(torch.linalg.matrix_norm(weight.double(), 2))
    found = norm(with_weight(weight))
    assert found.kind == kind
    assert found.value == pytest.approx(right, rel=1e-3)


@pytest.mark.parametrize(('norm', 'kind'), NORMS)
def test_zero_weight_has_norm_zero(norm, kind):
    assert norm(with_weight(torch.zeros(3, 4))).value == 0


@pytest.mark.parametrize(('norm', 'kind'), NORMS)
@pytest.mark.parametrize('bad', [float('nan'), float('inf')])
@pytest.mark.parametrize('layer', [nn.Linear(3, 4), nn.Conv1d(3, 4, 3)])
def test_nan_and_inf_are_an_error(norm, kind, bad, layer):
    with torch.no_grad():
        layer.weight.flatten()[1] = bad
    with pytest.raises(LipfaultError, match='1 entries are NaN or Inf'):
        norm(layer, None if isinstance(layer, nn.Linear) else (8,))


def test_batch_of_layers_and_warm_start():
    weights = torch.randn(5, 30, 20).double()
    right = torch.linalg.matrix_norm(weights, 2)
    cold, vectors = estimate_norms(weights, tolerance=1e-4)
    torch.testing.assert_close(cold, right, rtol=1e-6, atol=0)
    warm, _ = estimate_norms(weights + 1e-4 * torch.randn_like(weights), vectors, steps=2)
    torch.testing.assert_close(warm, right, rtol=1e-3, atol=0)


def test_norm_per_modality():
    weight = torch.randn(6, 10)
    found = column_norms(weight, {'camera': slice(0, 4), 'imu': slice(4, 10)})
    for name, columns in {'camera': slice(0, 4), 'imu': slice(4, 10)}.items():
        right = float(torch.linalg.matrix_norm(weight[:, columns].double(), 2))
        assert found[name] == pytest.approx(right, rel=1e-12)
    with pytest.raises(LipfaultError, match="'lidar': selects no column"):
        column_norms(weight, {'lidar': slice(10, 12)})


def test_frobenius():
    assert frobenius_norm(torch.tensor([[3.0, 4.0]])) == 5
