"""Fault gain matrix: measured, adversarial and certified gains, in that order.

docs/theory.md, sections 7 and 10.
"""

import pytest
import torch
from torch import nn

from lipfault.errors import LipfaultError
from lipfault.lipschitz.fault_gain_matrix import Box, attack, certify, entry, measure, worst
from lipfault.lipschitz.propagation.composition import Source, propagate


class Pair(nn.Module):
    """Corrects two modalities, each with a gate."""

    def __init__(self):
        super().__init__()
        self.mix = nn.Sequential(nn.Linear(10, 12), nn.GELU(), nn.Linear(12, 10))
        self.gate = nn.Sequential(nn.Linear(10, 10), nn.Sigmoid())

    def forward(self, signals):
        joint = torch.cat([signals['camera'].flatten(1), signals['imu'].flatten(1)], dim=1)
        corrected = joint + self.gate(joint) * (self.mix(joint) - joint)
        return {
            'camera': corrected[:, :4].view(-1, 1, 2, 2),
            'imu': corrected[:, 4:].view(-1, 2, 3),
        }


@pytest.fixture
def case():
    net = Pair().eval()
    clean = {'camera': torch.rand(20, 1, 2, 2), 'imu': torch.rand(20, 2, 3)}
    faulty = {n: (x + 0.3 * torch.randn_like(x)).clamp(0, 1) for n, x in clean.items()}
    box = Box(
        {n: torch.zeros_like(x[:1]) for n, x in clean.items()},
        {n: torch.ones_like(x[:1]) for n, x in clean.items()},
    )
    return net, clean, faulty, box


@pytest.mark.parametrize('source', ['camera', 'imu'])
@pytest.mark.parametrize('output', ['camera', 'imu'])
def test_measured_adversarial_and_certified_gains_are_in_order(case, source, output):
    net, clean, faulty, box = case
    gains = measure(net, clean, faulty, source)
    index = worst(gains, output, 5)
    starts = [{n: x[index] for n, x in s.items()} for s in (clean, faulty)]
    found, signal = attack(net, *starts, source, output, box)
    certified = certify(net, box, net)[output].gains[source]
    figures = entry(gains[output], found, certified, (source, output))
    assert figures.p95 <= figures.measured <= figures.adversarial <= figures.certified
    assert figures.adversarial > 1.01 * figures.measured
    assert (signal >= box.low[source]).all()
    assert (signal <= box.high[source]).all()
    again = measure(net, starts[0], {source: signal}, source)[output]
    assert float(again.max()) == pytest.approx(found, rel=1e-5)


def test_nothing_is_allocated_where_the_signals_are_not(case):
    """What is allocated without a device would lie on `meta` and not mix with the signals."""
    net, clean, faulty, box = case
    wanted = attack(net, clean, faulty, 'imu', 'camera', box, steps=3)
    gains = certify(net, box, net)['camera'].gains
    with torch.device('meta'):
        found = attack(net, clean, faulty, 'imu', 'camera', box, steps=3)
        assert certify(net, box, net)['camera'].gains == gains
    assert found[0] == wanted[0]
    assert torch.equal(found[1], wanted[1])


def test_violated_order_is_an_error():
    with pytest.raises(LipfaultError, match='camera -> imu: 2 was found, but at most 1'):
        entry(torch.tensor([0.5]), 2.0, 1.0, ('camera', 'imu'))


def test_box_grows_to_hold_signals(case):
    _, clean, _, box = case
    grown = box.including({n: 3 * x for n, x in clean.items()})
    assert float(grown.high['imu'].max()) > 1
    assert float(grown.low['imu'].min()) == 0


def test_root_mean_square_is_a_norm():
    box = Source(-torch.ones(1, 9), torch.ones(1, 9))
    out = propagate(lambda s: s['x'].square().mean(dim=1).clamp_min(1e-12).sqrt(), {'x': box})
    assert out.gains['x'] == pytest.approx(1 / 3)


def test_unfolded_patches_count_their_overlap():
    out = propagate(lambda s: s['x'].unfold(1, 4, 2), {'x': Source(shape=(1, 10))})
    assert out.gains['x'] == pytest.approx(2**0.5)
