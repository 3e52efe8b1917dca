"""Dense layers that scale their output in training: values and gradients of the exact formula."""

import copy

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from lipfault.lipschitz.modulation.modulation import ModulatedLayer, modulate, modulated
from lipfault.lipschitz.modulation.scaling import scaling_factor, scaling_factor_float

MODES = ['cap', 'pin', 'floor']
LEARNED = {'low': 0.2, 'high': 2.0}


def layer_of(mode: str, target: object, bias: bool = True, **kwargs: object) -> nn.Linear:
    layer = nn.Linear(6, 5, bias, **kwargs)
    modulate(layer, {'*': {'mode': mode, 'target': target}})
    return layer


def only(layer: nn.Module) -> ModulatedLayer:
    (entry,) = modulated(layer)
    return entry


def converge(layer: nn.Linear) -> None:
    """Let the power iteration come to rest: a weight that counts as new takes a step."""
    modulation = only(layer).modulation
    for _ in range(200):
        if modulation._trained is not None:
            modulation._trained = (None, modulation._trained[1])
        layer(torch.zeros(1, 6, dtype=only(layer).raw.dtype))


def gradients(y: Tensor, inputs: list[Tensor]) -> list[Tensor]:
    return list(torch.autograd.grad(y.sin().sum(), inputs))


@pytest.mark.parametrize('mode', MODES)
@pytest.mark.parametrize('target', [0.5, 3.0, LEARNED])
@pytest.mark.parametrize('shape', [(6,), (4, 6), (2, 3, 6)])
@pytest.mark.parametrize('bias', [True, False])
def test_value_and_gradients_are_those_of_the_exact_formula(mode, target, shape, bias):
    layer = layer_of(mode, target, bias, dtype=torch.float64)
    converge(layer)
    entry, x = only(layer), torch.randn(shape, dtype=torch.float64, requires_grad=True)
    kappa = entry.modulation.kappa
    norm = torch.linalg.matrix_norm(entry.raw, 2)
    scale = {'cap': torch.minimum, 'floor': torch.maximum, 'pin': lambda a, _: a}[mode](
        kappa / norm, torch.ones_like(norm)
    )
    exact = functional.linear(x, scale * entry.raw, layer.bias)
    torch.testing.assert_close(layer(x), exact)
    inputs = [x, *(p for p in layer.parameters() if p.requires_grad)]
    torch.testing.assert_close(gradients(layer(x), inputs), gradients(exact, inputs))


@pytest.mark.parametrize('mode', MODES)
@pytest.mark.parametrize('target', [0.5, 3.0, LEARNED])
def test_it_is_the_map_of_the_weight_that_can_be_read(mode, target):
    layer = layer_of(mode, target)
    x = torch.randn(4, 6, requires_grad=True)
    inputs = [x, *layer.parameters()]
    for y in (layer(x), layer(x), functional.linear(x, layer.weight, layer.bias)):
        found = gradients(y, inputs)
        read = gradients(functional.linear(x, layer.weight, layer.bias), inputs)
        torch.testing.assert_close(found, read)
        torch.testing.assert_close(y, layer(x))


@pytest.mark.parametrize('mode', MODES)
def test_estimate_is_that_of_two_products_with_the_weight(mode):
    layer = layer_of(mode, 0.5, dtype=torch.float64)
    entry = only(layer)
    weight, right = entry.raw.detach(), entry.modulation.right[0].clone()
    left = weight @ right
    pulled = weight.T @ (left / left.norm())
    layer(torch.zeros(1, 6, dtype=torch.float64))
    found = entry.modulation.norm(entry.raw)
    torch.testing.assert_close(found.sigma, pulled.norm())
    slope = torch.outer(left / left.norm(), pulled / pulled.norm())
    torch.testing.assert_close(torch.outer(found.left, found.right), slope)
    torch.testing.assert_close(entry.modulation.right[0], pulled / left.norm())


def test_power_iteration_finds_the_norm_over_many_steps():
    layer = layer_of('pin', 1.0)
    converge(layer)
    entry = only(layer)
    norm = torch.linalg.matrix_norm(entry.raw.detach(), 2)
    torch.testing.assert_close(entry.modulation.norm(entry.raw).sigma, norm)
    assert float(entry.modulation.right.norm()) == pytest.approx(1, rel=1e-5)


@pytest.mark.parametrize('frozen', ['weight', 'bias', 'x', 'all but x'])
def test_what_is_frozen_gets_no_gradient_and_the_rest_the_same(frozen):
    layer = layer_of('pin', LEARNED)
    x = torch.randn(4, 6, requires_grad=frozen != 'x')
    parameters = dict(layer.named_parameters())
    whole = [x.detach().requires_grad_(), *parameters.values()]
    right = dict(zip(['x', *parameters], gradients(layer(whole[0]), whole), strict=True))
    for name, parameter in parameters.items():
        kind = {'bias': 'bias', 'parametrizations.weight.original': 'weight'}.get(name)
        parameter.requires_grad_(frozen not in (kind, 'all but x'))
    asked = {n: t for n, t in [('x', x), *parameters.items()] if t.requires_grad}
    found = gradients(layer(x), list(asked.values()))
    torch.testing.assert_close(dict(zip(asked, found, strict=True)), {n: right[n] for n in asked})


@pytest.mark.parametrize('factor', [1e-25, 1e-12, 1e12, 1e18])
@pytest.mark.parametrize('mode', MODES)
def test_norms_near_the_ends_of_float32(mode, factor):
    layer = layer_of(mode, factor, bias=False)
    raw = only(layer).raw
    with torch.no_grad():
        raw.mul_(3 * factor / torch.linalg.matrix_norm(raw, 2))
    for _ in range(50):
        with torch.no_grad():
            raw.mul_(1.0)
        y = layer(torch.eye(6))
    norm = float(torch.linalg.matrix_norm(y.detach().double(), 2))
    if factor > 1e-20:
        right = factor * {'cap': 1, 'pin': 1, 'floor': 3}[mode]
        assert norm == pytest.approx(right, rel=1e-3, abs=0)
    assert all(g.isfinite().all() for g in gradients(y, list(layer.parameters())))


def test_no_sample_gives_no_sample_and_a_gradient_of_zero():
    layer = layer_of('pin', 1.0)
    x = torch.zeros(0, 6, requires_grad=True)
    y = layer(x)
    assert y.shape == (0, 5)
    y.sum().backward()
    assert not only(layer).raw.grad.any()
    assert not layer.bias.grad.any()


def test_exchanged_parameters_get_their_own_norm():
    layer = layer_of('pin', 1.0)
    x = torch.randn(4, 6)
    other = {n: 5 * p.detach() for n, p in layer.named_parameters()}
    y = torch.func.functional_call(layer, other, (x,))
    torch.testing.assert_close(y - other['bias'], layer(x) - layer.bias)


def test_a_copy_goes_its_own_way():
    layer = layer_of('pin', 1.0)
    other = copy.deepcopy(layer)
    with torch.no_grad():
        only(other).raw.zero_().fill_diagonal_(4.0)
    x = torch.randn(4, 6)
    before = layer(x)
    for _ in range(3):
        other(x)
    assert torch.equal(layer(input=x), before)
    torch.testing.assert_close(other(x) - other.bias, x[:, :5])


class Doubled(nn.Linear):
    def forward(self, x: Tensor) -> Tensor:
        return 2 * super().forward(x)


def test_a_forward_pass_of_its_own_is_kept():
    layer = Doubled(6, 5, bias=False)
    modulate(layer, {'*': {'mode': 'pin', 'target': 1.0}})
    x = torch.randn(4, 6)
    torch.testing.assert_close(layer(x), 2 * functional.linear(x, layer.weight))


def test_idle_scale_hands_out_the_weight_and_its_gradient():
    layer = layer_of('cap', 9.0)
    raw = only(layer).raw
    assert torch.equal(layer.weight, raw)
    (slope,) = torch.autograd.grad(layer.weight.square().sum(), raw)
    assert torch.equal(slope, 2 * raw)


@pytest.mark.parametrize('mode', MODES)
@pytest.mark.parametrize('sigma', [0.5, 1.0, 4.0])
def test_scale_of_numbers_is_scale_of_tensors(mode, sigma):
    right = scaling_factor(mode, torch.tensor(sigma), torch.tensor(1.0))
    assert scaling_factor_float(mode, sigma, 1.0) == float(right)


def test_pin_that_is_met_exactly_still_turns_the_gradient():
    layer = nn.Linear(3, 3, bias=False)
    with torch.no_grad():
        layer.weight.zero_().diagonal().copy_(torch.tensor([2.0, 1.0, 0.5]))
    modulate(layer, {'*': {'mode': 'pin', 'target': 2.0}})
    only(layer).modulation.right.copy_(torch.eye(3)[:1])
    for y in (layer(torch.eye(3)), layer.weight):
        (slope,) = torch.autograd.grad(y.diagonal().sum(), only(layer).raw)
        torch.testing.assert_close(slope.diagonal(), torch.tensor([1 - 3.5 / 2, 1.0, 1.0]))


def test_a_network_moved_to_64_bits_goes_on_training():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(6, 5), nn.GELU(), nn.Linear(5, 3))
    modulate(net, {'*': {'mode': 'pin', 'target': 0.5}})
    net.double()
    x = torch.randn(4, 6, dtype=torch.float64)
    y = net(x)
    y.sum().backward()
    assert y.dtype == torch.float64
    torch.testing.assert_close(y, net.eval()(x), rtol=1e-4, atol=1e-6)
