"""Jacobian tools and criteria against the explicit Jacobian (docs/theory.md, section 10)."""

import math
import re

import pytest
import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from lipfault.errors import LipfaultError
from lipfault.lipschitz.gains.criteria import (
    classify_gains,
    jacobian_criterion,
    lipschitz_criterion,
)
from lipfault.lipschitz.gains.jacobian import (
    directional_gain,
    largest_gain,
    linearize,
    mean_gain,
    smallest_gain,
    squared_frobenius,
)
from lipfault.lipschitz.propagation.sectors import Sector


def dense() -> nn.Module:
    return nn.Sequential(nn.Linear(12, 20), nn.GELU(), nn.Linear(20, 15), nn.ReLU()).double()


def convolutional() -> nn.Module:
    return nn.Sequential(
        nn.Unflatten(1, (2, 6)), nn.Conv1d(2, 8, 3, padding=1), nn.SiLU(), nn.Flatten()
    ).double()


class Attention(nn.Module):
    """Self-attention over three tokens of four features."""

    def __init__(self) -> None:
        super().__init__()
        self.parts = nn.Linear(4, 12)

    def forward(self, x):
        parts = self.parts(x.view(-1, 1, 3, 4)).chunk(3, dim=-1)
        return nn.functional.scaled_dot_product_attention(*parts).flatten(1)


def explicit(net, x):
    return torch.func.vmap(torch.func.jacrev(lambda v: net(v[None])[0]))(x)


NETS = pytest.mark.parametrize('build', [dense, convolutional])
SUPPORTS = pytest.mark.parametrize('columns', [slice(0, 12), slice(0, 3), slice(5, 6)])


def mask_of(columns):
    mask = torch.zeros(12)
    mask[columns] = 1
    return mask


@NETS
@SUPPORTS
def test_largest_smallest_and_mean_gain_on_a_support(build, columns):
    net, x = build(), torch.randn(7, 12).double()
    part = explicit(net, x)[:, :, columns]
    values = torch.linalg.svdvals(part)
    mask = mask_of(columns)
    triplet = largest_gain(net, x, mask, steps=50, tolerance=1e-6)
    torch.testing.assert_close(triplet.sigma, values[:, 0], rtol=1e-6, atol=0)
    assert (triplet.right * (1 - mask)).abs().max() < 1e-12
    pushed = torch.einsum('bij,bj->bi', explicit(net, x), triplet.right)
    torch.testing.assert_close(pushed, triplet.sigma[:, None] * triplet.left, atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(smallest_gain(net, x, mask), values[:, -1], atol=1e-10, rtol=1e-6)
    mean = (part.square().sum(dim=(1, 2)) / part.shape[2]).sqrt()
    torch.testing.assert_close(mean_gain(net, x, mask, probes=4000), mean, rtol=0.05, atol=0)


@NETS
def test_default_settings_are_within_a_percent(build):
    net, x = build(), torch.randn(7, 12).double()
    values = torch.linalg.matrix_norm(explicit(net, x), 2)
    found = largest_gain(net, x).sigma
    assert (found <= values * (1 + 1e-12)).all()
    torch.testing.assert_close(found, values, rtol=0.01, atol=0)


@pytest.mark.parametrize('dtype', [torch.float32, torch.float64])
def test_attention_has_gains_too(dtype):
    net, x = Attention().to(dtype), torch.randn(5, 12, dtype=dtype)
    with sdpa_kernel(SDPBackend.MATH):
        wanted = torch.linalg.svdvals(explicit(net, x))[:, 0]
    torch.testing.assert_close(largest_gain(net, x).sigma, wanted, rtol=1e-3, atol=0)


def test_float32_agrees_with_float64():
    net, x = dense(), torch.randn(3, 12).double()
    wide = largest_gain(net, x, steps=50, tolerance=1e-6).sigma
    narrow = largest_gain(net.float(), x.float(), steps=50, tolerance=1e-3).sigma
    assert narrow.dtype == torch.float32
    torch.testing.assert_close(narrow.double(), wide, rtol=1e-4, atol=0)


@NETS
def test_hutchinson_is_unbiased(build):
    net, x = build(), torch.randn(1, 12).double()
    right = explicit(net, x).square().sum()
    rows = squared_frobenius(net, x, probes=3000)[:, 0]
    error = rows.std() / math.sqrt(len(rows))
    assert (rows.mean() - right).abs() < 3 * error


def test_gain_along_given_faults():
    net, x = dense(), torch.randn(4, 12).double()
    fault = torch.randn(4, 12).double()
    fault[2] = 0
    pushed = torch.einsum('bij,bj->bi', explicit(net, x), fault)
    right = pushed.norm(dim=1) / fault.norm(dim=1)
    found = directional_gain(net, x, fault)
    torch.testing.assert_close(found[[0, 1, 3]], right[[0, 1, 3]])
    assert found[2].isnan()


def test_fewer_outputs_than_support_have_no_smallest_gain():
    net, x = nn.Linear(12, 4).double(), torch.randn(2, 12).double()
    assert smallest_gain(net, x, torch.ones(12)).tolist() == [0.0, 0.0]


@pytest.mark.parametrize('outputs', [5, 40])
def test_isotropic_faults_on_a_default_dense_layer(outputs):
    """docs/theory.md, section 3: E g² = p / (3 n) before the activation."""
    inputs, draws = 30, []
    for _ in range(2000):
        weight = nn.Linear(inputs, outputs).weight.detach()
        fault = torch.randn(inputs)
        draws.append(float((weight @ fault).square().sum() / fault.square().sum()))
    gains = torch.tensor(draws)
    error = gains.std() / math.sqrt(len(gains))
    assert (gains.mean() - outputs / (3 * inputs)).abs() < 3 * error


def test_isotropic_faults_on_a_support():
    """docs/theory.md, section 2: E g² = ‖J P_S‖_F² / |S|."""
    weight = torch.randn(8, 12).double()
    columns = slice(2, 7)
    fault = torch.zeros(20000, 12).double()
    fault[:, columns] = torch.randn(20000, 5).double()
    gains = (fault @ weight.T).square().sum(dim=1) / fault.square().sum(dim=1)
    right = weight[:, columns].square().sum() / 5
    assert (gains.mean() - right).abs() < 3 * gains.std() / math.sqrt(len(gains))
    found = mean_gain(lambda v: v @ weight.T, fault[:1], mask_of(columns), probes=5000) ** 2
    assert float(found) == pytest.approx(float(right), rel=0.05)


@pytest.mark.parametrize(
    ('scale', 'effect'), [(0.9, 'attenuates'), (1.2, 'amplifies'), (1.0, 'depends')]
)
def test_both_criteria_agree_on_a_linear_map(scale, effect):
    layer = nn.Linear(4, 6, bias=False).double()
    nn.init.orthogonal_(layer.weight, gain=scale if effect != 'depends' else 1.0)
    if effect == 'depends':
        with torch.no_grad():
            layer.weight[:, 0] *= 2
            layer.weight[:, 1] *= 0.5
    supports = {'camera': slice(0, 2), 'imu': slice(2, 4)}
    result = lipschitz_criterion(layer, Sector(1, 1), supports)['camera']
    masks = {'camera': torch.tensor([1, 1, 0, 0])}
    local = jacobian_criterion(layer, torch.zeros(3, 4).double(), masks)['camera']
    assert result.effect == local.effect == effect
    assert result.largest == pytest.approx(local.largest, rel=1e-3)
    if effect == 'amplifies':
        assert result.smallest == pytest.approx(local.smallest, rel=1e-3)
    assert local.mean == pytest.approx(result.mean, rel=0.2)


def test_criterion_is_per_modality():
    layer = nn.Linear(4, 4)
    with torch.no_grad():
        layer.weight.copy_(torch.diag(torch.tensor([0.1, 0.1, 9.0, 9.0])))
    results = lipschitz_criterion(layer, Sector(0, 1), {'a': slice(0, 2), 'b': slice(2, 4)})
    assert [v.effect for v in results.values()] == ['attenuates', 'depends']


@pytest.mark.parametrize(('range_', 'effect'), [((0.9, 0), 'attenuates'), ((9, 1.1), 'amplifies')])
def test_classified_gains(range_, effect):
    assert classify_gains(*range_) == effect


@pytest.mark.parametrize('x', [torch.zeros(0, 3), torch.zeros(3)])
def test_inputs_without_samples_are_refused(x):
    with pytest.raises(LipfaultError, match='sample'):
        linearize(nn.Identity(), x)


def test_map_that_mixes_samples_away_is_refused():
    with pytest.raises(LipfaultError, match='3 samples apart'):
        linearize(lambda v: v.mean(dim=0), torch.zeros(3, 2))


@pytest.mark.parametrize('support', [torch.zeros(12), torch.ones(12)])
def test_supports_of_a_wrong_size_are_refused(support):
    with pytest.raises(LipfaultError, match='1 to 5 entries'):
        smallest_gain(dense(), torch.zeros(1, 12).double(), support, limit=5)


@NETS
def test_a_probe_of_one_sample_gives_its_own_gains(build):
    net, x = build(), torch.randn(7, 12).double()
    many, one = (largest_gain(net, v, steps=50, tolerance=1e-6) for v in (x, x[3:4]))
    torch.testing.assert_close(one.sigma, many.sigma[3:4], rtol=1e-6, atol=0)
    values = torch.linalg.svdvals(explicit(net, x[3:4])[0]).detach()
    torch.testing.assert_close(one.sigma[0], values[0], rtol=1e-6, atol=0)
    alone = jacobian_criterion(net, x[3:4], {'all': torch.ones(12)})
    assert alone['all'].largest == pytest.approx(float(values[0]), rel=1e-2)


def test_a_mask_may_differ_from_sample_to_sample():
    net, x = dense(), torch.randn(3, 12).double()
    masks = [mask_of(columns) for columns in (slice(0, 3), slice(5, 6), slice(0, 12))]
    together = torch.stack(masks)
    alone = [mean_gain(net, x, mask, probes=5) for mask in masks]
    wanted = torch.stack([alone[i][i] for i in range(3)])
    torch.testing.assert_close(mean_gain(net, x, together, probes=5), wanted)
    torch.testing.assert_close(mean_gain(net, x, together[:1], probes=5), alone[0])
    tops = torch.stack([largest_gain(net, x, m, 50, 1e-9).sigma[i] for i, m in enumerate(masks)])
    torch.testing.assert_close(largest_gain(net, x, together, 50, 1e-9).sigma, tops)


@pytest.mark.parametrize('tool', [linearize, largest_gain, mean_gain, smallest_gain])
@pytest.mark.parametrize('shape', [(2, 1, 12), (7,), (2, 12)])
def test_masks_that_do_not_broadcast_are_named(tool, shape):
    with pytest.raises(LipfaultError, match=re.escape(f'support of shape {shape}')):
        tool(dense(), torch.zeros(3, 12).double(), torch.ones(shape))


def test_support_without_a_column_is_an_error():
    with pytest.raises(LipfaultError, match="'lidar': selects no column"):
        lipschitz_criterion(nn.Linear(4, 3), Sector(0, 1), {'lidar': slice(4, 6)})
