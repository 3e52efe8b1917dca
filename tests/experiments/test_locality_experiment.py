"""Measurements of the experiment `locality` on layers with known gains."""

import pytest
import torch
from torch import nn

from experiments.locality.encoders import dense, layers_of, untrained
from experiments.locality.experiment import spread


def test_gains_of_a_scaled_rotation():
    """An orthogonal matrix times three amplifies every fault by three."""
    rotation = torch.linalg.qr(torch.randn(8, 8))[0]
    net = nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 2))
    with torch.no_grad():
        net[0].weight.copy_(3 * rotation)
    clean = torch.randn(20, 8)
    found = layers_of(net, net, clean, clean + torch.randn(20, 8))
    assert list(found) == ['0', '2']
    for name in ('norm', 'isotropic', 'measured', 'injected', 'largest'):
        assert getattr(found['0'], name) == pytest.approx(3.0, rel=1e-4), name
    assert found['2'].measured <= found['2'].norm
    assert found['2'].largest <= found['2'].norm * (1 + 1e-5)


def test_a_convolution_without_padding_has_the_gain_of_its_kernel():
    net = nn.Conv1d(3, 5, 4, stride=4)
    clean = torch.randn(10, 3, 32)
    (layer,) = layers_of(net, net, clean, clean + torch.randn(10, 3, 32)).values()
    assert layer.measured == pytest.approx(layer.isotropic, rel=0.05)
    assert layer.injected == pytest.approx(layer.isotropic, rel=0.1)


def test_an_untrained_dense_layer_has_the_predicted_gain():
    layer = untrained(300, 60, torch.randn(50, 300))
    assert layer.isotropic == pytest.approx((60 / 900) ** 0.5)
    assert layer.measured == pytest.approx(layer.isotropic, rel=0.02)


def test_a_fault_stays_local_only_in_a_convolution():
    clean = torch.randn(40, 2, 32)
    faulty = clean.clone()
    faulty[:, 0, 4:8] += 3.0
    net = nn.Conv1d(2, 4, 4, stride=4)
    kept, smeared = spread(net, clean, faulty), spread(dense(clean, 16), clean, faulty)
    assert kept['reached'] == 0.25
    assert kept['locality'] == pytest.approx(1.0)
    assert smeared['reached'] == 1.0
    assert kept['participation'] < 0.5 * smeared['participation']
