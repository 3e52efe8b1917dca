"""Effective gains, and the loss of information that a small global bound implies.

docs/theory.md, sections 6 and 10.
"""

import math

import pytest
import torch
from torch import nn

from lipfault.errors import LipfaultError
from lipfault.lipschitz.gains.pairwise import gain, pairwise_gains, selectivity, summarize
from lipfault.lipschitz.modulation.modulation import modulate
from lipfault.lipschitz.propagation.composition import module_gain


def test_statistics_of_known_gains():
    before = torch.zeros(100, 2)
    after = before + torch.tensor([3.0, 4.0])
    sizes = torch.arange(1, 101)[:, None] / 5
    found = gain(before, after, before, sizes * torch.tensor([5.0, 0.0]))
    assert found.mean == pytest.approx(10.1)
    assert found.median == pytest.approx(10.1)
    assert found.p95 == pytest.approx(19.01)
    assert found.largest == pytest.approx(20)
    assert found.pairs == 100


def test_equal_inputs_are_left_out():
    before, after = torch.zeros(2, 3), torch.tensor([[0.0] * 3, [1.0] * 3])
    found = pairwise_gains(before, after, before, 2 * after)
    assert found[0].isnan()
    assert summarize(found).pairs == 1


def test_selectivity():
    x = torch.zeros(1, 2)
    strong, weak = gain(x, x + 1, x, x + 1), gain(x, x + 1, x, x + 0.25)
    assert selectivity(strong, weak) == pytest.approx(4.0)
    assert selectivity(strong, gain(x, x + 1, x, x)) == math.inf


@pytest.mark.parametrize(
    ('shapes', 'message'),
    [
        (((2, 3), (2, 4), (2, 1), (2, 1)), 'one shape'),
        (((2, 3), (2, 3), (1, 1), (1, 1)), 'as many outputs'),
        (((0, 3), (0, 3), (0, 1), (0, 1)), 'at least one'),
        (((2, 3), (2, 3), (2, 1), (2, 1)), 'distinct inputs'),
    ],
)
def test_error_messages(shapes, message):
    with pytest.raises(LipfaultError, match=message):
        gain(*(torch.zeros(shape) for shape in shapes))


@pytest.mark.parametrize('target', [0.1, 0.5, 0.9])
@pytest.mark.parametrize('draw', range(5))
def test_small_global_bound_contracts_clean_differences(target, draw):
    """‖C(z) − z‖ + ‖C(z') − z'‖ ≥ (1 − L_C) ‖z − z'‖ for every pair."""
    torch.manual_seed(draw)
    net = nn.Sequential(nn.Linear(8, 32), nn.ReLU(), nn.Linear(32, 8))
    modulate(net, {'*': {'mode': 'cap', 'target': target**0.5}})
    optimizer = torch.optim.Adam(net.parameters(), lr=0.02)
    z = torch.randn(64, 8)
    for _ in range(30):
        optimizer.zero_grad()
        (net(z) - z).square().mean().backward()
        optimizer.step()
    bound = module_gain(net.eval(), (1, 8))
    assert bound <= target * (1 + 1e-4)
    with torch.no_grad():
        error = (net(z) - z).norm(dim=1)
    first, second = torch.triu_indices(64, 64, 1)
    left = error[first] + error[second]
    assert (left >= (1 - bound) * (z[first] - z[second]).norm(dim=1) * (1 - 1e-5)).all()
    assert gain(z[first], z[second], net(z[first]).detach(), net(z[second]).detach()).largest <= (
        bound * (1 + 1e-5)
    )
