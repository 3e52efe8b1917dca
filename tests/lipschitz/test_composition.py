"""Certified gains of modules and models: known values, never below what can be measured."""

import math

import pytest
import torch
from einops import rearrange
from torch import nn

from lipfault.errors import LipfaultError
from lipfault.lipschitz.modulation.modulation import modulate
from lipfault.lipschitz.propagation.bounded_tensor import RULES, BoundedTensor
from lipfault.lipschitz.propagation.composition import Source, module_gain, propagate


def layer_norm():
    layer = nn.LayerNorm(6, eps=1e-2)
    nn.init.uniform_(layer.weight)
    return layer, float(layer.weight.detach().abs().max()) / math.sqrt(1e-2)


def batch_norm():
    layer = nn.BatchNorm2d(3)
    nn.init.uniform_(layer.running_var, 0.5, 2.0)
    nn.init.uniform_(layer.weight, -2.0, 0.0)
    slope = layer.weight.detach() / (layer.running_var + layer.eps).sqrt()
    return layer, float(slope.abs().max())


def diagonal():
    layer = nn.Linear(4, 4)
    layer.weight = nn.Parameter(torch.diag(torch.tensor([1.0, -5.0, 2.0, 0.0])))
    return layer, 5.0


def orthogonal():
    layer = nn.Linear(5, 5)
    nn.init.orthogonal_(layer.weight)
    return layer, 1.0


@pytest.mark.parametrize(
    ('built', 'shape'),
    [
        ((nn.Identity(), 1.0), (1, 4)),
        (diagonal(), (1, 4)),
        (orthogonal(), (1, 5)),
        ((nn.AvgPool2d(3), 1 / 3), (1, 2, 9, 9)),
        ((nn.AvgPool1d(4), 0.5), (1, 2, 8)),
        ((nn.Upsample(scale_factor=3), 3.0), (1, 2, 4, 4)),
        ((nn.PixelShuffle(2), 1.0), (1, 8, 3, 3)),
        ((nn.MaxPool2d(2), 1.0), (1, 2, 8, 8)),
        ((nn.MaxPool2d(3, stride=2, padding=1), 2.0), (1, 2, 9, 9)),
        ((nn.ZeroPad2d(2), 1.0), (1, 2, 4, 4)),
        ((nn.ReplicationPad1d(2), math.sqrt(3)), (1, 2, 5)),
        ((nn.ReLU(), 1.0), (1, 4)),
        ((nn.LeakyReLU(0.2), 1.0), (1, 4)),
        ((nn.GELU(), 1.128904), (1, 4)),
        ((nn.SiLU(), 1.09984), (1, 4)),
        ((nn.Tanh(), 1.0), (1, 4)),
        ((nn.Sigmoid(), 0.25), (1, 4)),
        ((nn.Dropout(0.5), 1.0), (1, 4)),
        (layer_norm(), (1, 6)),
        (batch_norm(), (1, 3, 4, 4)),
    ],
    ids=lambda value: type(value[0]).__name__ if isinstance(value[0], nn.Module) else '',
)
def test_known_values(built, shape):
    module, gain = built
    assert module_gain(module, shape) == pytest.approx(gain, rel=2e-6)


class Everything(nn.Module):
    """Branches, residuals, concatenation, a gate, and the shapes of two modalities."""

    def __init__(self):
        super().__init__()
        self.series = nn.Sequential(nn.Conv1d(3, 4, 4, stride=2, padding=1), nn.GELU())
        self.image = nn.Sequential(
            nn.Conv2d(1, 4, 3, padding=1, padding_mode='circular'),
            nn.SiLU(),
            nn.AvgPool2d(2),
            nn.Conv2d(4, 2, 3, stride=2, padding=1),
            nn.Flatten(),
        )
        self.trunk = nn.Sequential(nn.Linear(24, 16), nn.GELU(), nn.Linear(16, 24), nn.Tanh())
        self.gate = nn.Sequential(nn.Linear(24, 24), nn.Sigmoid())
        self.head = nn.ConvTranspose1d(4, 3, 4, stride=2, padding=1)

    def forward(self, signals):
        parts = [self.series(signals['imu']).flatten(1), self.image(signals['camera'])]
        joint = torch.cat(parts, dim=1)
        joint = joint + 0.5 * self.trunk(joint) - joint.mean(dim=1, keepdim=True)
        joint = self.gate(joint) * joint
        joint = joint.sign() * joint.abs().log1p()
        latent = rearrange(joint[:, :16], 'b (c t) -> b c t', c=4)
        return {'imu': self.head(latent), 'score': joint.square().sum(dim=1)}


SHAPES = {'imu': (1, 3, 8), 'camera': (1, 1, 8, 8)}


def ranges(half: float) -> dict[str, Source]:
    return {n: Source(torch.full(s, -half), torch.full(s, half)) for n, s in SHAPES.items()}


def steepest(function, name: str, half: float) -> float:
    """Largest gain found by ascent on pairs of near points inside the range."""
    best = 0.0
    for _ in range(10):
        x = {n: (torch.rand(s).double() * 2 - 1) * half for n, s in SHAPES.items()}

        def along(part, x=x):
            return function(x | {name: part}).flatten()

        jacobian = torch.autograd.functional.jacobian(along, x[name]).flatten(1)
        best = max(best, float(torch.linalg.matrix_norm(jacobian, 2)))
    return best


@pytest.mark.parametrize('source', ['imu', 'camera'])
@pytest.mark.parametrize('output', ['imu', 'score'])
@pytest.mark.parametrize('half', [0.1, 3.0])
def test_bound_of_every_path_is_above_what_is_found(source, output, half):
    net = Everything().eval()
    bounded = propagate(net, ranges(half), net)
    found = steepest(lambda x: net.double()(x)[output], source, half)
    assert 0 < found <= bounded[output].gains[source]


def test_values_stay_inside_their_interval():
    net = Everything().eval()
    bounded = propagate(net, ranges(1.0), net)
    for _ in range(50):
        x = {n: (torch.rand(s).double() * 2 - 1).sign() for n, s in SHAPES.items()}
        for name, value in net.double()(x).items():
            assert (value >= bounded[name].low - 1e-9).all()
            assert (value <= bounded[name].high + 1e-9).all()


@pytest.mark.parametrize('activation', [nn.ReLU(), nn.GELU(), nn.LeakyReLU(0.3), nn.Tanh()])
def test_dense_bound_is_tighter_than_the_product(activation):
    layers = [nn.Linear(20, 64), nn.Linear(64, 64), nn.Linear(64, 10)]
    net = nn.Sequential(layers[0], activation, layers[1], activation, layers[2])
    product = math.prod(float(torch.linalg.matrix_norm(m.weight.detach(), 2)) for m in layers)
    product *= module_gain(activation, (1, 3)) ** 2
    bound = module_gain(net, (1, 20))
    net = net.double()
    found = max(
        float(
            torch.linalg.matrix_norm(
                torch.autograd.functional.jacobian(net, torch.randn(1, 20).double() * 0.3)[0, :, 0],
                2,
            )
        )
        for _ in range(20)
    )
    assert found <= bound <= 0.8 * product


def test_bound_without_activation_is_exact():
    net = nn.Sequential(nn.Linear(9, 30), nn.Linear(30, 4)).double()
    product = net[1].weight.detach() @ net[0].weight.detach()
    norm = float(torch.linalg.matrix_norm(product, 2))
    assert norm <= module_gain(net, (1, 9)) <= norm * (1 + 1e-6)


def test_range_makes_dead_and_saturated_units_count():
    net = nn.Sequential(nn.Linear(2, 2), nn.ReLU(), nn.Linear(2, 2), nn.Tanh())
    with torch.no_grad():
        for layer in (net[0], net[2]):
            layer.weight.copy_(torch.eye(2))
            layer.bias.copy_(torch.tensor([-2.0, 3.0]))
    near = {'x': Source(-torch.ones(1, 2), torch.ones(1, 2))}
    local = propagate(lambda s: net(s['x']), near).gains['x']
    assert local == pytest.approx(1 - math.tanh(5.0) ** 2, rel=1e-5)
    assert module_gain(net, (1, 2)) == pytest.approx(1.0, rel=1e-5)


def test_sources_keep_apart():
    def function(x):
        return {'a': 2 * x['a'], 'both': torch.cat([2 * x['a'], 3 * x['b']], dim=1)}

    bounded = propagate(function, {n: Source(shape=(1, 3)) for n in 'ab'})
    assert bounded['a'].gains == {'a': 2.0, 'b': 0.0}
    assert bounded['both'].gains == {'a': 2.0, 'b': 3.0}


def test_modulated_layer_has_its_promised_bound():
    net = nn.Sequential(nn.Linear(6, 6))
    modulate(net, {'0': {'mode': 'pin', 'target': 0.4}})
    assert module_gain(net, (1, 6)) == pytest.approx(0.4, rel=1e-4)
    assert net.training


class Unknown(nn.Module):
    def forward(self, x):
        return torch.fft.fft(x)


class Running(nn.Module):
    def forward(self, x):
        return x.cumsum(dim=1)


class Gate(nn.Module):
    def forward(self, x):
        return x * torch.sigmoid(x)


@pytest.mark.parametrize(
    ('module', 'message'),
    [
        (nn.Sequential(nn.ReLU(), Unknown()), r"'1' \(Unknown\).*'fft_fft' has no rule"),
        (nn.Sequential(Gate()), r"'0' \(Gate\).*needs the range"),
        (nn.Upsample(scale_factor=2, mode='bicubic'), 'mode=.bicubic. has no rule'),
        (Running(), "Running.*'cumsum' has no rule"),
        (nn.Sequential(nn.BatchNorm1d(4, track_running_stats=False)), 'running statistics'),
    ],
)
def test_operations_without_a_rule_are_named(module, message):
    with pytest.raises(LipfaultError, match=message):
        module_gain(module, (1, 4, 4))


def test_sign_alone_has_no_finite_gain():
    out = propagate(lambda s: s['x'].sign(), {'x': Source(shape=(1, 3))})
    assert isinstance(out, BoundedTensor)
    assert out.gains['x'] == math.inf


class Blend(nn.Module):
    """Convex combination, as the compute block blends with a fault map."""

    def __init__(self, slope=1.0):
        super().__init__()
        self.new = nn.Linear(5, 5)
        self.slope = slope

    def forward(self, signals):
        x = signals['x']
        coefficient = torch.sigmoid(self.slope * signals['m'])
        return x + coefficient * (self.new(x) - x)


def test_convex_combination_lies_between_old_and_new():
    net = Blend()
    with torch.no_grad():
        net.new.weight.copy_(torch.eye(5))
        net.new.bias.fill_(4.0)
    ends = {'x': Source(-torch.ones(1, 5), torch.ones(1, 5)), 'm': Source(*2 * [torch.zeros(1, 5)])}
    out = propagate(net, ends | {'m': Source(-torch.ones(1, 5), torch.ones(1, 5))})
    assert float(out.low.min()) == -1.0
    assert float(out.high.max()) == pytest.approx(5.0)
    most = 1 / (1 + math.exp(-1.0))
    assert out.gains['x'] == pytest.approx((2 * most) ** 0.5, rel=1e-6)
    slope = 0.25
    assert out.gains['m'] == pytest.approx(6.0 * slope, rel=1e-6)
    still = propagate(net, ends)
    assert still.gains['x'] == pytest.approx(1.0, rel=1e-6)


@pytest.mark.parametrize('draw', range(5))
@pytest.mark.parametrize('slope', [0.3, 5.0])
def test_bounds_of_a_convex_combination_hold_for_pairs(draw, slope):
    torch.manual_seed(draw)
    net = Blend(slope).double()
    half = {n: torch.full((1, 5), 2.0).double() for n in ('x', 'm')}
    out = propagate(net, {n: Source(-h, h) for n, h in half.items()})
    one, two = ({n: 4 * torch.rand(500, 5).double() - 2 for n in half} for _ in range(2))
    with torch.no_grad():
        for name in half:
            before, after = net(one), net(one | {name: two[name]})
            assert (before >= out.low).all()
            assert (before <= out.high).all()
            gains = (after - before).norm(dim=1) / (two[name] - one[name]).norm(dim=1)
            assert float(gains.max()) <= out.gains[name]


def test_other_combinations_get_the_general_bound():
    box = {n: Source(-torch.ones(1, 3), torch.ones(1, 3)) for n in ('x', 'm', 'y')}

    def unbounded(s):
        return s['x'] + 2 * torch.sigmoid(s['m']) * (s['y'] - s['x'])

    def another(s):
        return s['x'] + torch.sigmoid(s['m']) * (s['y'] - s['y'].neg())

    for function in (unbounded, another):
        out = propagate(function, box)
        x = {n: torch.full((1, 3), v).double() for n, v in (('x', 1.0), ('m', 1.0), ('y', 1.0))}
        for y in (-1.0, 1.0):
            value = function(x | {'y': torch.full((1, 3), y).double()})
            assert (value <= out.high + 1e-12).all()
            assert (value >= out.low - 1e-12).all()


def test_zeros_that_unfolding_moves_in_are_no_entry():
    """Taken for the first entry they would bound 7 - x with x in [5, 6] on either side by 0."""
    box = {'x': Source(torch.full((1, 1, 1, 3), 5.0), torch.full((1, 1, 1, 3), 6.0))}

    def function(s):
        patches = nn.functional.unfold(s['x'], (1, 2), padding=(0, 1))
        return torch.relu(7 - patches.sum(dim=1))

    ends = [function({'x': torch.full((1, 1, 1, 3), value)}) for value in (5.0, 6.0)]
    out = propagate(function, box)
    assert float((ends[1] - ends[0]).norm()) / 3**0.5 <= out.gains['x'] <= 2.001
    assert all(((out.low <= end) & (end <= out.high)).all() for end in ends)


@pytest.mark.parametrize(
    'function',
    [
        lambda x: x.to(torch.int64),
        lambda x: x.to(dtype=torch.uint8),
        lambda x: x.type_as(torch.zeros(1, dtype=torch.int32)),
        lambda x: x.to(torch.zeros(1, dtype=torch.bool)),
    ],
)
def test_casts_that_jump_are_refused(function):
    with pytest.raises(LipfaultError, match=r'a cast to torch\.\w+ jumps'):
        propagate(lambda s: function(s['x']), {'x': Source(shape=(1, 3))})


@pytest.mark.parametrize('function', [lambda x: x.float(), lambda x: x.to('cpu').double()])
def test_casts_between_floating_types_keep_the_gain(function):
    assert propagate(lambda s: function(s['x']), {'x': Source(shape=(1, 3))}).gains['x'] == 1.0


def view_of(x, change):
    change(x.view(-1))
    return x


def viewed_before(x):
    view = x.view(-1)
    x.mul_(3)
    return view


@pytest.mark.parametrize(
    ('function', 'message'),
    [
        (lambda x: x.mul_(3) + x, 'changed in place'),
        (lambda x: nn.ReLU(inplace=True)(x) + x, 'changed in place'),
        (lambda x: view_of(x, lambda v: v.relu_()), 'changed in place'),
        (viewed_before, 'changed in place'),
        (lambda x: x.clamp(max=x.abs()), "'clamp' has a rule for one operand"),
    ],
)
def test_stale_tensors_and_second_operands_are_refused(function, message):
    with pytest.raises(LipfaultError, match=message):
        propagate(lambda s: function(s['x']), {'x': Source(-torch.ones(1, 3), torch.ones(1, 3))})


def accumulated(x):
    total = torch.zeros(1, 3)
    total += x
    return total


@pytest.mark.parametrize(
    ('function', 'gain'),
    [
        (lambda x: x.relu_(), 1.0),
        (lambda x: x.clone().mul_(3) + x, 4.0),
        (lambda x: nn.ReLU(inplace=True)(2 * x), 2.0),
        (lambda x: nn.Dropout(inplace=True).eval()(x) + x, 2.0),
        (accumulated, 1.0),
    ],
)
def test_results_of_changes_in_place_have_their_gain(function, gain):
    box = {'x': Source(-torch.ones(1, 3), torch.ones(1, 3))}
    assert propagate(lambda s: function(s['x']), box).gains['x'] == pytest.approx(gain)


def test_instance_norm_with_running_statistics_is_that_of_batch_norm():
    layer, batch = nn.InstanceNorm2d(3, affine=True, track_running_stats=True), nn.BatchNorm2d(3)
    with torch.no_grad():
        layer.running_var.copy_(torch.tensor([0.25, 1.0, 4.0]))
        layer.weight.copy_(torch.tensor([1.0, -3.0, 2.0]))
        layer.running_mean.copy_(torch.tensor([1.0, 2.0, 3.0]))
    batch.load_state_dict(layer.state_dict())
    assert module_gain(layer, (1, 3, 4, 4)) == pytest.approx(3.0, rel=1e-4)
    box = {'x': Source(torch.zeros(1, 3, 4, 4), torch.ones(1, 3, 4, 4))}
    ours, theirs = (propagate(lambda s, m=m: m.eval()(s['x']), box) for m in (layer, batch))
    torch.testing.assert_close(ours.low, theirs.low)
    torch.testing.assert_close(ours.high, theirs.high)


@pytest.mark.parametrize('layer', [nn.InstanceNorm2d(2, eps=0.25), nn.GroupNorm(1, 2, eps=0.25)])
def test_norms_by_the_statistics_of_the_input(layer):
    assert module_gain(layer, (1, 2, 4, 4)) == pytest.approx(2.0)


def test_rules_allocate_on_the_device_of_their_operand(monkeypatch):
    def cumulated(func, bounded, dim):
        places = torch.arange(bounded.numel())
        assert places.device == bounded.device
        return BoundedTensor.build(bounded.shape, None, None, bounded.sensitivity.scaled_gains(7.0))

    monkeypatch.setitem(RULES, 'cumsum', cumulated)
    elsewhere = nn.Linear(3, 3, device='meta')
    out = propagate(lambda s: s['x'].cumsum(1), {'x': Source(shape=(1, 3))}, elsewhere)
    assert out.device == torch.device('meta')
    assert out.gains['x'] == 7.0
