"""Norms of all layers, tracked over training, and their product."""

import pytest
import torch
from torch import nn

from lipfault.errors import LipfaultError
from lipfault.lipschitz.norms.layer_norms import (
    InputSizes,
    NormTracker,
    linear_layers,
    norm_product,
)
from lipfault.lipschitz.norms.norms import estimate_norms
from lipfault.lipschitz.norms.operators import linear_operator


def mixed() -> nn.Sequential:
    return nn.Sequential(
        nn.Conv1d(2, 3, 3, padding=1), nn.Flatten(), nn.Linear(24, 9), nn.Linear(9, 9),
        nn.Linear(9, 9), nn.Linear(9, 1),
    )  # fmt: skip


def right_norms(net: nn.Module, sizes: dict[nn.Module, tuple[int, ...]]) -> dict[str, float]:
    matrices = {
        name: linear_operator(layer, sizes.get(layer), layer.weight.detach().double()).matrix()
        for name, layer in linear_layers(net)
    }
    return {name: float(torch.linalg.matrix_norm(m, 2)) for name, m in matrices.items()}


def test_norms_follow_the_weights_cold_and_warm():
    net, sizes, tracker = mixed(), InputSizes(), NormTracker()
    sizes.watch(net)
    net(torch.randn(2, 2, 8))
    for _ in range(4):
        found = tracker.norms(net, sizes.found)
        assert found == pytest.approx(right_norms(net, sizes.found), rel=1e-3)
        with torch.no_grad():
            for parameter in net.parameters():
                parameter.add_(0.002 * torch.randn_like(parameter))


def test_a_weight_that_starts_at_zero_is_followed():
    net, tracker = nn.Sequential(nn.Linear(5, 4)), NormTracker()
    nn.init.zeros_(net[0].weight)
    assert tracker.norms(net) == {'0': 0.0}
    nn.init.normal_(net[0].weight)
    for _ in range(5):
        found = tracker.norms(net)
    assert found == pytest.approx(right_norms(net, {}), rel=1e-3)


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16, torch.float64])
def test_norms_in_any_precision_and_memory_order(dtype):
    net = nn.Sequential(nn.Linear(6, 9), nn.Linear(9, 6))
    net[1].weight = nn.Parameter(torch.randn(9, 12).T[::2])
    net.to(dtype)
    assert NormTracker().norms(net) == pytest.approx(right_norms(net, {}), rel=1e-3)


@pytest.mark.parametrize('index', [0, 3])
@pytest.mark.parametrize('bad', [float('nan'), float('-inf')])
def test_a_broken_layer_is_named(index, bad):
    net = mixed()
    with torch.no_grad():
        net[index].weight.flatten()[3] = bad
    with pytest.raises(LipfaultError, match=f"layer '{index}'.*1 entries are NaN or Inf"):
        NormTracker().norms(net, {net[0]: (8,)})


@pytest.mark.filterwarnings('ignore:Initializing zero-element')
def test_an_empty_layer_is_named():
    with pytest.raises(LipfaultError, match=r"layer '1'.*empty, shape \(3, 0\)"):
        NormTracker().norms(nn.Sequential(nn.Linear(2, 2), nn.Linear(0, 3)))
    with pytest.raises(LipfaultError, match=r'\(2, 3, 0\) are empty'):
        estimate_norms(torch.zeros(2, 3, 0))


def test_a_layer_registered_twice_counts_twice():
    layer, other = nn.Linear(4, 4), nn.Linear(4, 4)
    net = nn.Sequential(layer, nn.ReLU(), nn.Sequential(other, layer))
    norms = NormTracker().norms(net)
    assert list(norms) == ['0', '2.0']
    assert norm_product(net, norms) == pytest.approx(norms['0'] ** 2 * norms['2.0'])


def test_product_takes_a_dictionary_for_branches():
    net = nn.ModuleDict({'heads': nn.ModuleDict({'a': nn.Linear(2, 2), 'b': nn.Linear(2, 2)})})
    assert norm_product(net, {'x.heads.a': 3.0, 'x.heads.b': 4.0}, prefix='x') == 5.0


def test_a_shared_convolution_counts_at_its_largest_size():
    conv, sizes = nn.Conv1d(2, 2, 3, padding=1), InputSizes()
    handles = sizes.watch(nn.Sequential(conv))
    for length in (5, 9, 3):
        conv(torch.randn(1, 2, length))
    for handle in handles:
        handle.remove()
    conv(torch.randn(1, 2, 20))
    assert sizes.found == {conv: (9,)}
