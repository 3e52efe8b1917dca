"""The tools allocate on the device of their arguments, and name it.

The default device stands for another one: a tensor allocated without a device lies on `meta`, and
does not mix with weights and inputs on the CPU.
"""

import inspect

import pytest
import torch
from torch import nn

from lipfault.lipschitz.gains.jacobian import largest_gain, mean_gain, smallest_gain
from lipfault.lipschitz.gains.locality import locality_metrics, receptive_field_image
from lipfault.lipschitz.norms.certificates import certify_layer
from lipfault.lipschitz.norms.norms import estimate_norm, exact_norm
from lipfault.lipschitz.propagation.lipsdp import lipsdp_bound


def dense():
    return nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 4))


def locality(net, x):
    support = torch.tensor([1, 1, 0, 0, 0, 0], device='cpu')
    image = receptive_field_image(net, x, support)
    with torch.no_grad():
        return locality_metrics(net(x + support) - net(x), image).contrast


@pytest.mark.xfail(
    'device="cpu"' not in inspect.getsource(torch.optim.Adam._init_group),
    raises=RuntimeError,
    strict=False,
    reason='Adam of an older torch allocates its step counter on the default device',
)
@pytest.mark.parametrize(
    'tool',
    [
        lambda net, x: lipsdp_bound(net, steps=3),
        lambda net, x: largest_gain(net, x).sigma.tolist(),
        lambda net, x: mean_gain(net, x, x[0] > 0).tolist(),
        lambda net, x: smallest_gain(net, x, x[0] > 0).tolist(),
        lambda net, x: [f(net[0]) for f in (estimate_norm, exact_norm, certify_layer)],
        locality,
    ],
)
def test_nothing_is_allocated_elsewhere(tool):
    net, x = dense(), torch.randn(3, 6)
    wanted = tool(net, x)
    with torch.device('meta'):
        assert tool(net, x) == wanted
