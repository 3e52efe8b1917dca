"""A convolution keeps a fault at its positions, exactly; a dense layer does not.

docs/theory.md, sections 3 and 10.
"""

import pytest
import torch
from torch import nn

from lipfault.errors import LipfaultError
from lipfault.lipschitz.gains.locality import locality_metrics, receptive_field_image


@pytest.mark.parametrize(
    ('layer', 'first', 'last'),
    [
        (nn.Conv1d(2, 3, 3, padding=1), 9, 13),
        (nn.Conv1d(2, 3, 5, padding=4, dilation=2), 6, 16),
        (nn.Conv1d(2, 3, 4, stride=2, padding=1), 4, 6),
        (nn.ConvTranspose1d(2, 3, 4, stride=2, padding=1), 19, 26),
    ],
)
@pytest.mark.parametrize('depth', [nn.Identity(), nn.GELU()])
def test_change_is_exactly_zero_outside_the_receptive_field(layer, first, last, depth):
    net = nn.Sequential(layer, depth)
    support = torch.zeros(2, 24, dtype=torch.bool)
    support[:, 10:13] = True
    x = torch.randn(6, 2, 24)
    faulty = torch.where(support, x + 100 * torch.randn_like(x), x)
    with torch.no_grad():
        change = net(faulty) - net(x)
    inside = torch.zeros_like(change[0], dtype=torch.bool)
    inside[:, first : last + 1] = True
    assert not change[:, ~inside].any()
    image = receptive_field_image(net, x, support)
    assert not (image & ~inside).any()
    assert locality_metrics(change, image).locality == 1.0
    assert locality_metrics(change, inside).locality == 1.0


def test_dense_layer_spreads_a_change_that_a_convolution_localizes():
    x, fault = torch.randn(50, 1, 40), torch.zeros(50, 1, 40)
    fault[:, :, 20] = 1.0
    conv = nn.Conv1d(1, 1, 3, padding=1)
    dense = nn.Linear(40, 40)
    with torch.no_grad():
        localized = locality_metrics(conv(x + fault) - conv(x))
        spread = locality_metrics(dense(x + fault) - dense(x))
    assert localized.participation < 0.1 < 0.4 < spread.participation
    assert localized.contrast > 3 * spread.contrast


@pytest.mark.parametrize(
    ('change', 'participation', 'contrast'),
    [([1.0, 1.0, -1.0, 1.0], 1.0, 1.0), ([0.0, 3.0, 0.0, 0.0], 0.25, 4.0)],
)
def test_known_values(change, participation, contrast):
    metrics = locality_metrics(torch.tensor([change, [0.0] * 4]))
    assert metrics.participation == pytest.approx(participation)
    assert metrics.contrast == pytest.approx(contrast)
    assert metrics.samples == 1


def test_locality_counts_energy_outside():
    change = torch.tensor([[3.0, 4.0]])
    assert locality_metrics(change, torch.tensor([True, False])).locality == pytest.approx(9 / 25)


def test_no_change_is_an_error():
    with pytest.raises(LipfaultError, match='no sample changed'):
        locality_metrics(torch.zeros(2, 3))


def test_image_fault_keeps_its_position_through_strides():
    net = nn.Sequential(
        nn.Conv2d(1, 3, 3, stride=2, padding=1), nn.GELU(), nn.Conv2d(3, 4, 3, stride=2, padding=1)
    )
    x = torch.randn(2, 1, 16, 16)
    support = torch.zeros(1, 16, 16, dtype=torch.bool)
    support[:, 4:6, 8:10] = True
    with torch.no_grad():
        change = net(torch.where(support, x + 50 * torch.randn_like(x), x)) - net(x)
    inside = torch.zeros(4, 4, 4, dtype=torch.bool)
    inside[:, 1:3, 2:4] = True
    assert not change[:, ~inside].any()
    assert change[:, inside].all()
    assert torch.equal(receptive_field_image(net, x, support), inside)
