"""Modulated layers: their norms, and that observers never change training."""

import copy

import pytest
import torch
from torch import Tensor, nn

from lipfault.errors import LipfaultError
from lipfault.lipschitz import fold, modulate, modulated, modulation_report, penalty, set_progress
from lipfault.lipschitz.norms.operators import linear_operator

SCALING = ['cap', 'pin', 'floor']


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
        matrix = linear_operator(layer, size, layer.weight.double()).matrix()
        return float(torch.linalg.matrix_norm(matrix, 2))


def train(net: nn.Module, x: Tensor, steps: int = 5, observe=lambda net: None) -> None:
    optimizer = torch.optim.Adam(net.parameters(), lr=0.02)
    for _ in range(steps):
        optimizer.zero_grad()
        (net(x).square().mean() + penalty(net)).backward()
        optimizer.step()
        observe(net)


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
        raw = linear_operator(
            entry.modulation._geometry[0], size, entry.raw.detach().double()
        ).matrix()
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
        entry.modulation.update_norm(entry.raw)

    def loss(weight: Tensor) -> Tensor:
        size = None if weight.ndim == 2 else x.shape[2:]
        norm = torch.linalg.matrix_norm(linear_operator(net[0], size, weight).matrix(), 2)
        factor = {'cap': min, 'pin': lambda a, _: a, 'floor': max}[mode](0.5 / norm, 1.0)
        return (weight * factor).sin().sum()

    (found,) = torch.autograd.grad(net[0].weight.sin().sum(), entry.raw)
    (right,) = torch.autograd.grad(loss(entry.raw), entry.raw)
    torch.testing.assert_close(found, right, rtol=1e-5, atol=1e-7)
    net.eval()
    (found,) = torch.autograd.grad(net[0].weight.sin().sum(), entry.raw)
    torch.testing.assert_close(found, right, rtol=1e-5, atol=1e-7)


def test_two_forwards_in_one_step_take_one_power_iteration():
    net = mlp()
    modulate(net, {'*': {'mode': 'pin', 'target': 1.0}})
    x = torch.randn(5, 6)
    (net(x) - net(x + 1)).square().sum().backward()
    vectors = [entry.modulation.right.clone() for entry in modulated(net)]
    net(x)
    for entry, vector in zip(modulated(net), vectors, strict=True):
        assert torch.equal(entry.modulation.right, vector)


def observe(net: nn.Module) -> None:
    """Everything that an observer may read or call."""
    for entry in modulated(net):
        _ = entry.layer.weight.sum()
    modulation_report(net)
    copy.deepcopy(net)(torch.ones(2, 6))
    net.eval()
    with torch.no_grad():
        net(torch.ones(2, 6))
    net.train()
    net.state_dict()


@pytest.mark.parametrize('mode', [*SCALING, 'penalty'])
def test_observing_leaves_training_alone(mode):
    nets = [mlp()]
    modulate(nets[0], {'*': {'mode': mode, 'target': 0.5}})
    nets.append(copy.deepcopy(nets[0]))
    x = torch.randn(16, 6)
    train(nets[0], x)
    train(nets[1], x, observe=observe)
    for (name, a), b in zip(
        nets[0].state_dict().items(), nets[1].state_dict().values(), strict=True
    ):
        assert torch.equal(a, b), name


@pytest.mark.parametrize('net', [mlp, convnet])
def test_save_and_load_are_bit_identical_in_both_modes(net, tmp_path):
    first, second = net(), net()
    x = torch.randn(3, 6) if len(first) == 5 else torch.randn(2, 2, 6, 8)
    for module in (first, second):
        modulate(module, {'*': {'mode': 'cap', 'target': 0.5}})
    train(first, x)
    torch.save(first.state_dict(), tmp_path / 'net.ckpt')
    second.load_state_dict(torch.load(tmp_path / 'net.ckpt', weights_only=True))
    assert torch.equal(first.eval()(x), second.eval()(x))
    assert torch.equal(first.eval()(x), second.eval()(x))
    assert torch.equal(first.train()(x), second.train()(x))


def test_resumed_training_equals_uninterrupted_training():
    net = mlp()
    modulate(net, {'*': {'mode': 'pin', 'target': 0.5}})
    resumed = copy.deepcopy(net)
    x = torch.randn(16, 6)
    optimizers = [torch.optim.SGD(m.parameters(), lr=0.1) for m in (net, resumed)]
    for step in range(6):
        for module, optimizer in zip((net, resumed), optimizers, strict=True):
            optimizer.zero_grad()
            module(x).square().mean().backward()
            optimizer.step()
        resumed.load_state_dict({k: v.clone() for k, v in resumed.state_dict().items()})
        for key, value in net.state_dict().items():
            assert torch.equal(value, resumed.state_dict()[key]), (step, key)


@pytest.mark.parametrize('mode', [*SCALING, 'isometry', 'penalty'])
def test_folded_module_is_plain_and_has_the_same_outputs(mode):
    net = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 8))
    plain = copy.deepcopy(net)
    modulate(net, {'*': {'mode': mode, 'target': 0.5}})
    x = torch.randn(16, 6)
    train(net, x)
    before = net.eval()(x)
    fold(net.train())
    assert [type(layer) for layer in net] == [type(layer) for layer in plain]
    assert net[0].training
    assert not list(modulated(net))
    assert not net[0]._forward_pre_hooks
    plain.load_state_dict(net.state_dict())
    torch.testing.assert_close(plain(x), before, atol=1e-6, rtol=0)


def test_folding_a_copy_leaves_the_original_modulated():
    net = mlp()
    modulate(net, {'*': {'mode': 'pin', 'target': 1.0}})
    fold(copy.deepcopy(net))
    train(net, torch.randn(16, 6))
    assert norm_of(net.eval()[0]) == pytest.approx(1.0, rel=1e-5)


def test_weights_exchanged_through_data_count_after_eval():
    net = mlp()
    modulate(net, {'0': {'mode': 'pin', 'target': 1.0}})
    net.eval()(torch.randn(2, 6))
    net[0].parametrizations.weight.original.data.mul_(7.0)
    assert norm_of(net.eval()[0]) == pytest.approx(1.0, rel=1e-5)


@pytest.mark.parametrize('mode', SCALING)
@pytest.mark.parametrize('dtype', [torch.bfloat16, torch.float16])
def test_norm_is_right_under_autocast_and_in_half_precision(mode, dtype):
    net = mlp()
    modulate(net, {'*': {'mode': mode, 'target': 0.5}})
    with torch.autocast('cpu', dtype=torch.bfloat16):
        train(net, torch.randn(16, 6))
    for entry, record in zip(modulated(net.eval()), modulation_report(net), strict=True):
        assert norm_of(entry.layer) == pytest.approx(record.norm, rel=1e-5)
    net.to(dtype)
    assert next(modulated(net)).modulation.right.dtype == torch.float32
    for entry, record in zip(modulated(net), modulation_report(net), strict=True):
        assert norm_of(entry.layer) == pytest.approx(record.norm, rel=1e-2)


def test_scheduled_target_moves_and_learned_target_learns():
    net = nn.Sequential(nn.Linear(6, 8), nn.Linear(8, 4))
    modulate(
        net,
        {
            '0': {'mode': 'pin', 'target': {'start': 8.0, 'end': 2.0, 'finish': 0.5}},
            '1': {'mode': 'pin', 'target': {'low': 0.5, 'high': 2.0}},
        },
    )
    set_progress(net, 0.25)
    train(net, torch.randn(16, 6), steps=20)
    norms = [record.norm for record in modulation_report(net)]
    assert norms[0] == pytest.approx(4.0, rel=1e-5)
    assert 0.5 < norms[1] < 1.0


def test_gradient_of_a_learned_target():
    layer = nn.Linear(3, 3, bias=False)
    (entry,) = modulate(layer, {'*': {'mode': 'pin', 'target': {'low': 1.0, 'high': 3.0}}})
    total = float(layer.weight.detach().sum())
    (slope,) = torch.autograd.grad(layer.weight.sum(), entry.modulation.logit)
    kappa = float(entry.modulation.kappa.detach())
    share = (kappa - 1) / 2
    assert float(slope) == pytest.approx(total / kappa * 2 * share * (1 - share), rel=1e-4)


@pytest.mark.parametrize(('side', 'target'), [('above', 0.1), ('below', 5.0)])
def test_penalty_pulls_norms_to_the_right_side(side, target):
    net = mlp()
    modulate(net, {'*': {'mode': 'penalty', 'target': target, 'side': side, 'weight': 2.0}})
    norms = [norm_of(net[i]) for i in (0, 2, 4)]
    right = 2.0 * sum((norm - target) ** 2 for norm in norms)
    assert float(penalty(net.eval()).detach()) == pytest.approx(right, rel=1e-4)
    net.train()
    before = float(penalty(net).detach())
    train(net, torch.randn(16, 6), steps=20)
    assert float(penalty(net).detach()) < 0.5 * before


@pytest.mark.parametrize('training', [True, False])
def test_penalty_is_the_same_under_autocast(training):
    net = mlp().train(training)
    modulate(net, {'*': {'mode': 'penalty', 'target': 0.1}})
    wanted = penalty(net)
    slopes = torch.autograd.grad(wanted, list(net.parameters()), allow_unused=True)
    with torch.autocast('cpu', dtype=torch.bfloat16):
        found = penalty(net)
    assert found.dtype == torch.float32
    assert torch.equal(found, wanted)
    again = torch.autograd.grad(found, list(net.parameters()), allow_unused=True)
    for slope, other in zip(slopes, again, strict=True):
        assert slope is other is None or torch.equal(slope, other)


def test_penalty_without_such_layers_is_zero():
    assert float(penalty(mlp())) == 0


def test_first_pattern_that_matches_decides():
    net = mlp()
    modulate(net, {'2': {'mode': 'cap', 'target': 1.0}, '*': {'mode': 'pin', 'target': 2.0}})
    assert [record.mode for record in modulation_report(net)] == ['pin', 'cap', 'pin']


def test_shared_layer_is_modulated_once():
    layer = nn.Linear(4, 4)
    net = nn.ModuleDict({'a': layer, 'b': layer})
    assert len(modulate(net, {'b': {'mode': 'pin', 'target': 1.0}})) == 1


class Tied(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Linear(3, 3), nn.Linear(3, 3)
        self.b.weight = self.a.weight


def zero() -> nn.Module:
    layer = nn.Linear(3, 3)
    nn.init.zeros_(layer.weight)
    return layer


def broken() -> nn.Module:
    layer = nn.Linear(3, 3)
    nn.init.constant_(layer.weight, float('nan'))
    return layer


def parametrized() -> nn.Module:
    return nn.utils.parametrizations.spectral_norm(nn.Linear(3, 3))


PIN = {'mode': 'pin', 'target': 1.0}
ISOMETRY = {'mode': 'isometry', 'target': 1.0}


@pytest.mark.parametrize(
    ('build', 'rules', 'message'),
    [
        (mlp, {'head.*': PIN}, "'head.*' matches no dense.*'0', '2', '4'"),
        (mlp, {'*': PIN, '0': PIN}, "'0' applies to no layer"),
        (nn.ReLU, {'*': PIN}, 'there are none'),
        (mlp, {'0': {'mode': 'squash', 'target': 1.0}}, "mode.*'squash'"),
        (mlp, {'0': {'mode': 'cap', 'target': -1.0}}, 'target: must be positive.*-1.0'),
        (mlp, {'0': {'mode': 'cap', 'target': 'low'}}, "target: must be a number.*'low'"),
        (mlp, {'0': {'mode': 'cap', 'kappa': 1.0}}, 'keys must be among mode, target'),
        (mlp, {'0': {'mode': 'cap', 'target': {'low': 2.0, 'high': 1.0}}}, 'below high'),
        (mlp, {'0': {'mode': 'cap', 'target': {'start': 2.0, 'stop': 1.0}}}, 'start, end'),
        (mlp, {'4': ISOMETRY}, "'4': isometry needs at least as many outputs"),
        (convnet, {'0': ISOMETRY}, "'0': isometry needs a dense layer"),
        (Tied, {'a': PIN}, "'a': its weight is tied to layer 'b'"),
        (zero, {'*': PIN}, 'weight is zero'),
        (broken, {'*': PIN}, '9 entries are NaN or Inf'),
        (parametrized, {'*': PIN}, 'already parametrized'),
        (lambda: nn.MultiheadAttention(4, 2), {'*': PIN}, "'out_proj': attention"),
    ],
)
def test_error_messages(build, rules, message):
    with pytest.raises(LipfaultError, match=message):
        modulate(build(), rules)


def test_zero_weight_can_be_capped():
    layer = zero()
    modulate(layer, {'*': {'mode': 'cap', 'target': 1.0}})
    layer(torch.ones(2, 3)).sum().backward()
    assert layer.parametrizations.weight.original.grad.isfinite().all()
    assert modulation_report(layer)[0].norm == pytest.approx(0, abs=1e-9)


def test_weight_that_starts_at_zero_is_followed():
    net = nn.Sequential(nn.Linear(6, 8), zero_head())
    modulate(net, {'1': {'mode': 'cap', 'target': 0.1}})
    optimizer = torch.optim.Adam(net.parameters(), lr=0.02)
    for _ in range(30):
        optimizer.zero_grad()
        (net(torch.randn(16, 6)) - 5).square().mean().backward()
        optimizer.step()
    (record,) = modulation_report(net)
    assert record.raw > 0.2
    assert norm_of(net[1]) == pytest.approx(0.1, rel=0.02)


def zero_head() -> nn.Module:
    layer = nn.Linear(8, 4)
    nn.init.zeros_(layer.weight)
    return layer


def test_reading_a_convolution_before_its_size_is_known_is_an_error():
    net = convnet()
    modulate(net, {'0': PIN})
    with pytest.raises(LipfaultError, match=r"'0'.*input size"):
        _ = net[0].weight


def test_weight_that_turns_nan_is_named_in_evaluation():
    net = mlp()
    modulate(net, {'2': PIN})
    with torch.no_grad():
        net[2].parametrizations.weight.original.fill_(float('inf'))
    with pytest.raises(LipfaultError, match=r"layer '2'.*64 entries"):
        net.eval()(torch.ones(1, 6))


def test_jacobian_transforms_pass_in_evaluation():
    net = mlp()
    modulate(net, {'*': PIN})
    net.eval()
    x = torch.randn(6)
    found = torch.func.jacrev(net)(x)
    torch.testing.assert_close(torch.func.jacrev(fold(copy.deepcopy(net)))(x), found)
    batch = torch.func.vmap(torch.func.jacrev(net))(x[None])
    torch.testing.assert_close(batch[0], found)


def test_activation_checkpointing_recomputes_the_same_weight():
    net = mlp()
    modulate(net, {'*': PIN})
    other = copy.deepcopy(net)
    x = torch.randn(5, 6, requires_grad=True)
    torch.utils.checkpoint.checkpoint(net, x, use_reentrant=True).sum().backward()
    other(x).sum().backward()
    for a, b in zip(net.parameters(), other.parameters(), strict=True):
        assert torch.equal(a.grad, b.grad)


@pytest.mark.parametrize('kind', ['foreach', 'fused'])
def test_power_iteration_follows_every_kind_of_optimizer(kind):
    x = torch.randn(16, 5)
    found = []
    for options in ({}, {kind: True}):
        torch.manual_seed(0)
        layer = nn.Linear(5, 4)
        (entry,) = modulate(layer, {'*': {'mode': 'floor', 'target': 2.0}})
        start = entry.modulation.right.clone()
        optimizer = torch.optim.AdamW(layer.parameters(), lr=0.1, **options)
        for _ in range(10):
            layer(x).square().sum().backward()
            optimizer.step()
            optimizer.zero_grad()
        layer(x)
        assert not torch.allclose(entry.modulation.right, start, atol=1e-2)
        found.append(entry.modulation.right)
    torch.testing.assert_close(*found, atol=1e-4, rtol=1e-3)
