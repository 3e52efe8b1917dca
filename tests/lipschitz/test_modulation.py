"""Modulated layers: the norms they promise, and that observing never changes training."""

import copy

import pytest
import torch
from torch import Tensor, nn

from lipfault.errors import LipfaultError
from lipfault.lipschitz.modulation import (
    fold,
    ledger,
    modulate,
    modulated,
    penalty,
    set_progress,
)
from lipfault.lipschitz.operators import operator_of

SCALING = ['cap', 'pin', 'floor']


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


def mlp() -> nn.Sequential:
    return nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 4))


def convnet() -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(2, 4, 3, stride=2, padding=1, padding_mode='circular'),
        nn.ReLU(),
        nn.ConvTranspose2d(4, 3, 4, stride=2, padding=1),
    )


def norm_of(layer: nn.Module, size: tuple[int, ...] | None = None) -> float:
    with torch.no_grad():
        matrix = operator_of(layer, size, layer.weight.double()).matrix()
        return float(torch.linalg.matrix_norm(matrix, 2))


def train(net: nn.Module, x: Tensor, steps: int = 5, look=lambda net: None) -> None:
    optimizer = torch.optim.Adam(net.parameters(), lr=0.02)
    for _ in range(steps):
        optimizer.zero_grad()
        (net(x).square().mean() + penalty(net)).backward()
        optimizer.step()
        look(net)


def expected(mode: str, norm: float, target: float) -> float:
    return {'cap': min(norm, target), 'pin': target, 'floor': max(norm, target)}[mode]


@pytest.mark.parametrize('mode', SCALING)
@pytest.mark.parametrize('target', [0.3, 3.0])
def test_norm_in_evaluation_is_the_promised_one(mode, target):
    net = mlp()
    modulate(net, {'*': {'mode': mode, 'target': target}})
    train(net, torch.randn(16, 6))
    net.eval()
    for entry in modulated(net):
        raw = float(torch.linalg.matrix_norm(entry.raw.detach().double(), 2))
        assert norm_of(entry.layer) == pytest.approx(expected(mode, raw, target), rel=1e-5)


@pytest.mark.parametrize('mode', SCALING)
def test_norm_of_convolutions_is_that_of_the_true_operator(mode):
    net = convnet()
    modulate(net, {'*': {'mode': mode, 'target': 0.7}})
    train(net, torch.randn(4, 2, 6, 8))
    net.eval()
    for entry, size in zip(modulated(net), [(6, 8), (3, 4)], strict=True):
        raw = operator_of(entry.modulation._plain, size, entry.raw.detach().double()).matrix()
        norm = float(torch.linalg.matrix_norm(raw, 2))
        assert norm_of(entry.layer, size) == pytest.approx(expected(mode, norm, 0.7), rel=1e-5)


@pytest.mark.parametrize('mode', SCALING)
def test_norm_in_training_stays_close(mode):
    net = mlp()
    modulate(net, {'*': {'mode': mode, 'target': 0.5}})
    train(net, torch.randn(16, 6), steps=30)
    net(torch.randn(2, 6))
    for entry in modulated(net):
        raw = float(torch.linalg.matrix_norm(entry.raw.detach().double(), 2))
        assert norm_of(entry.layer) == pytest.approx(expected(mode, raw, 0.5), rel=0.02)


def test_isometry_amplifies_every_direction():
    net = nn.Sequential(nn.Linear(6, 9), nn.Linear(9, 9), nn.Unflatten(1, (1, 9)))
    net.append(nn.Conv1d(1, 4, 3, stride=3))
    modulate(net, {'*': {'mode': 'isometry', 'target': 2.0}})
    train(net, torch.randn(16, 6))
    for entry in modulated(net):
        weight = entry.layer.weight.detach().flatten(1)
        eye = 4 * torch.eye(weight.shape[1])
        torch.testing.assert_close(weight.T @ weight, eye, atol=1e-5, rtol=0)


@pytest.mark.parametrize('mode', SCALING)
@pytest.mark.parametrize('net', [mlp, convnet])
def test_gradient_is_that_of_the_exact_formula(mode, net):
    net = net().double()
    x = torch.randn(3, 6).double() if len(net) == 5 else torch.randn(2, 2, 6, 8).double()
    modulate(net, {'0': {'mode': mode, 'target': 0.5}})
    net(x)
    entry = next(modulated(net))
    for _ in range(60):
        entry.modulation._trained = None
        entry.modulation.advance(entry.raw)

    def loss(weight: Tensor) -> Tensor:
        size = None if weight.ndim == 2 else x.shape[2:]
        norm = torch.linalg.matrix_norm(operator_of(net[0], size, weight).matrix(), 2)
        factor = {'cap': min, 'pin': lambda a, _: a, 'floor': max}[mode](0.5 / norm, 1.0)
        return (weight * factor).sin().sum()

    (found,) = torch.autograd.grad(net[0].weight.sin().sum(), entry.raw)
    (right,) = torch.autograd.grad(loss(entry.raw), entry.raw)
    torch.testing.assert_close(found, right, rtol=1e-5, atol=1e-7)
    net.eval()
    (found,) = torch.autograd.grad(net[0].weight.sin().sum(), entry.raw)
    torch.testing.assert_close(found, right, rtol=1e-5, atol=1e-7)
