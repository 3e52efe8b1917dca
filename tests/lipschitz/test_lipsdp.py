"""LipSDP bound of dense networks: above every Jacobian, far below the product of norms."""

import pytest
import torch
from torch import nn

from lipfault.errors import LipfaultError
from lipfault.lipschitz.propagation.composition import module_gain
from lipfault.lipschitz.propagation.lipsdp import lipsdp_bound


@pytest.mark.parametrize('activation', [nn.ReLU(), nn.GELU(), nn.Tanh(), nn.GELU('tanh')])
@pytest.mark.parametrize('depth', [1, 3])
def test_bound_lies_between_jacobians_and_product(activation, depth):
    hidden = [part for _ in range(depth) for part in (activation, nn.Linear(24, 24))]
    net = nn.Sequential(nn.Linear(10, 24), *hidden)
    found = lipsdp_bound(net, steps=25)
    jacobian = torch.func.vmap(torch.func.jacrev(net))(torch.randn(200, 10)).detach()
    steepest = float(torch.linalg.matrix_norm(jacobian, 2).max())
    assert steepest <= found.bound <= 0.8 * found.product
    assert found.bound <= module_gain(net, (1, 10)) * (1 + 1e-6)


def test_single_layer_is_its_norm():
    layer = nn.Linear(4, 4)
    norm = float(torch.linalg.matrix_norm(layer.weight.detach(), 2))
    assert lipsdp_bound(nn.Sequential(layer)).bound == pytest.approx(norm, rel=1e-4)


@pytest.mark.parametrize(
    'net',
    [
        nn.Sequential(nn.ReLU(), nn.Linear(2, 2)),
        nn.Sequential(nn.Linear(2, 2), nn.ReLU()),
        nn.Sequential(nn.Linear(2, 2), nn.Softmax(1), nn.Linear(2, 2)),
    ],
)
def test_other_forms_are_refused(net):
    with pytest.raises(LipfaultError, match='lipsdp_bound'):
        lipsdp_bound(net)
