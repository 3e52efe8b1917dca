"""Every certificate is attacked: no rule, layer norm or cap may be exceeded by a pair of inputs.

The cases are generated, see `attack_entries.py` and `attack_targets.py`; a rule without an entry
fails. `LIPFAULT_ATTACKS=40` attacks with that many cases per rule (10 000 in all).
"""

import os

import pytest
import torch
from attack import Draw, Verdict, attack_case
from attack_entries import ENTRIES
from attack_targets import ESCAPES, TARGETS, tenfold
from torch import nn

from lipfault.errors import LipfaultError
from lipfault.lipschitz import Source, module_gain, propagate
from lipfault.lipschitz.propagation.bounded_tensor import RULES

CASES = int(os.environ.get('LIPFAULT_ATTACKS', '1'))
REFUSED = {'half', 'bfloat16'} | ({'cuda'} if not torch.cuda.is_available() else set())
"""Rules that refuse whatever they are given."""

OWN = {n for n, r in RULES.items() if r.__module__.startswith('lipfault.')}
SEEN = {'autograd function', 'operator', 'checkpoint'}
"""Escapes that reach the rules after all."""


def test_every_rule_has_an_attack() -> None:
    assert set(ENTRIES) == OWN


def require_sound(verdicts: list[Verdict]) -> None:
    broken = [v for v in verdicts if not v.refused and (v.ratio > 1 or v.details)]
    assert not broken, [v.details[:2] for v in broken]


@pytest.mark.parametrize('name', sorted(ENTRIES))
def test_no_pair_of_inputs_exceeds_a_rule(name: str) -> None:
    verdicts: list[Verdict] = []
    # More draws where all were outside of the rule's domain.
    while len(verdicts) < CASES or (all(v.refused for v in verdicts) and len(verdicts) < 12):
        seed = len(verdicts)
        verdicts.append(attack_case(ENTRIES[name](Draw(seed)), seed))
    require_sound(verdicts)
    assert all(v.refused for v in verdicts) == (name in REFUSED), verdicts[-1].details


@pytest.mark.parametrize('name', sorted(n for n in TARGETS if not n.startswith('escape')))
def test_no_pair_of_inputs_exceeds_a_certificate(name: str) -> None:
    require_sound([TARGETS[name](Draw(seed)) for seed in range(8 * CASES)])


@pytest.mark.filterwarnings('ignore')
@pytest.mark.parametrize('name', sorted(ESCAPES))
def test_operations_that_escape_the_rules_are_refused(name: str) -> None:
    verdicts = [TARGETS[f'escape: {name}'](Draw(seed)) for seed in range(2 * CASES)]
    require_sound(verdicts)
    assert all(v.refused for v in verdicts) == (name not in SEEN)


class Scripted(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.scripted = torch.jit.script(tenfold)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.scripted(x)


class Mapped(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        try:
            return x + torch.vmap(tenfold)(x)
        except LipfaultError:
            return x


@pytest.mark.filterwarnings('ignore')
@pytest.mark.parametrize('part', [Scripted, Mapped])
def test_a_refusal_names_the_module_and_cannot_be_swallowed(part: type[nn.Module]) -> None:
    with pytest.raises(LipfaultError, match=rf"'1' \({part.__name__}\).*operator aten\.mul"):
        module_gain(nn.Sequential(nn.ReLU(), part()), (1, 3))


def test_an_output_that_escaped_is_refused() -> None:
    with pytest.raises(LipfaultError, match=r'an output: .*depends on the input'):
        propagate(lambda s: s['x'].as_subclass(torch.Tensor), {'x': Source(shape=(1, 3))})


def test_constants_from_the_shape_of_an_input_are_constants() -> None:
    out = propagate(
        lambda s: s['x'] + torch.ones(1, 1).expand_as(s['x']), {'x': Source(shape=(1, 3))}
    )
    assert out.gains == {'x': 1.0}


@pytest.mark.parametrize('ends', [(1.0, -1.0), (float('nan'), 1.0)])
def test_a_source_with_ends_in_the_wrong_order_is_refused(ends: tuple[float, float]) -> None:
    box = Source(*(torch.tensor([[0.0, end]]) for end in ends))
    with pytest.raises(LipfaultError, match=r"source 'x': low must not be above high.*1 of 2"):
        propagate(lambda s: s['x'], {'x': box})


def test_a_rule_holds_for_the_function_of_torch_only() -> None:
    def relu(x: torch.Tensor) -> torch.Tensor:
        if torch.overrides.has_torch_function_unary(x):
            return torch.overrides.handle_torch_function(relu, (x,), x)
        return 7 * x

    with pytest.raises(LipfaultError, match="'relu' has no rule"):
        propagate(lambda s: relu(s['x']), {'x': Source(shape=(1, 3))})


def test_frozen_parts_stay_frozen() -> None:
    net = nn.Sequential(nn.BatchNorm1d(3), nn.Linear(3, 3)).train()
    net[0].eval()
    module_gain(net, (1, 3))
    assert [part.training for part in net.modules()] == [True, False, True]


@pytest.mark.parametrize(
    ('function', 'shape', 'gain'),
    [
        (lambda x: torch.cat(x.chunk(8, 1), 1), (1, 16), 1.0),
        (lambda x: torch.stack(x.unbind(1), 1), (1, 5), 1.0),
        (lambda x: x.sort(1)[0], (1, 5), 1.0),
        (lambda x: x.masked_fill(torch.ones(1, 5) > 0, 2.0), (1, 5), 0.0),
        (lambda x: torch.log_softmax(x, 1), (1, 4), 2.0),
        (lambda x: nn.functional.prelu(x, torch.tensor([-3.0])), (1, 4), 3.0),
        (lambda x: torch.lerp(x, 3 * x, 0.5), (1, 4), 2.0),
        (lambda x: nn.functional.interpolate(x, scale_factor=2, mode='linear'), (1, 2, 5), 2**0.5),
        (lambda x: nn.functional.conv1d(x, torch.ones(1, 1, 1), padding='same'), (1, 1, 5), 1.0),
        (lambda x: nn.functional.rms_norm(x, (4,), eps=0.25), (1, 4), 2.0),
    ],
)  # fmt: skip
def test_known_gains(function, shape, gain) -> None:
    out = propagate(lambda s: function(s['x']), {'x': Source(shape=shape)})
    assert out.gains['x'] == pytest.approx(gain, rel=0.1)


def maxmin(x: torch.Tensor) -> torch.Tensor:
    a, b = x.chunk(2, 1)
    return torch.cat([torch.maximum(a, b), torch.minimum(a, b)], 1)


def test_sorting_pairs_keeps_distances() -> None:
    assert propagate(lambda s: maxmin(s['x']), {'x': Source(shape=(1, 6))}).gains['x'] == 1.0


@pytest.mark.parametrize(
    ('layer', 'low', 'high', 'slope'),
    [
        (nn.GELU(), -12.0, -11.0, 0.0),
        (nn.GELU(), 0.5, 1.0, 1.0833155),
        (nn.SiLU(), -30.0, -25.0, 0.0),
        (nn.Mish(), 4.0, 5.0, 1.0036),
        (nn.Hardswish(), -9.0, -4.0, 0.0),
        (nn.Hardswish(), 0.0, 1.5, 1.0),
        (nn.ELU(3.0), -2.0, -1.0, 1.1036383),
        (nn.Softplus(), -3.0, -2.0, 0.1192029),
        (nn.LogSigmoid(), 1.0, 2.0, 0.2689414),
    ],
)
def test_slopes_on_an_interval_are_exact(layer, low, high, slope) -> None:
    box = Source(torch.full((1, 2), low), torch.full((1, 2), high))
    found = propagate(lambda s: layer(s['x']), {'x': box}).gains['x']
    assert slope * (1 - 1e-6) <= found <= slope * (1 + 1e-2) + 1e-7


@pytest.mark.parametrize('function', [torch.abs, torch.sin, lambda x: x.sign() * x.abs().log1p()])
def test_a_dense_layer_before_slopes_of_either_sign(function) -> None:
    net = nn.Linear(4, 4)
    norm = float(torch.linalg.matrix_norm(net.weight.detach(), 2))
    out = propagate(lambda s: function(net(s['x'])), {'x': Source(shape=(1, 4))})
    assert out.gains['x'] == pytest.approx(norm, rel=1e-4)


def test_eigenvalues_that_do_not_converge_leave_a_looser_bound(monkeypatch) -> None:
    def fail(*args: object, **kwargs: object) -> None:
        raise torch.linalg.LinAlgError('did not converge')

    net = nn.Sequential(nn.Linear(4, 4), nn.GELU(), nn.Linear(4, 4))
    right = module_gain(net, (1, 4))
    for name in ('eigh', 'eigvalsh'):
        monkeypatch.setattr(torch.linalg, name, fail)
    assert right * (1 - 1e-9) <= module_gain(net, (1, 4)) < 5 * right
