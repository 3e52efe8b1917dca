"""Attack entries of everything that certifies and is no propagation rule.

Operations that escape `__torch_function__`, random networks, norms of layers at any size, LipSDP
and modulated weights. Each entry is a function from the draw to a verdict.
"""

import math
from collections.abc import Callable

import torch
from attack import Case, Draw, Verdict, attack_case
from attack_entries import unary
from torch import Tensor, nn
from torch.nn import functional as F

from lipfault.errors import LipfaultError
from lipfault.lipschitz import certified_norm, exact_norm, lipsdp_bound, modulate, propagate
from lipfault.lipschitz.norms.operators import linear_operator

TARGETS: dict[str, Callable[[Draw], Verdict]] = {}


def target(name: str) -> Callable[[Callable[[Draw], Verdict]], Callable[[Draw], Verdict]]:
    def register(build: Callable[[Draw], Verdict]) -> Callable[[Draw], Verdict]:
        TARGETS[name] = build
        return build

    return register


# --- operations that escape `__torch_function__`


def tenfold(v: Tensor) -> Tensor:
    return 10 * v


def jitted(x: Tensor) -> Tensor:
    return torch.jit.script(tenfold)(x)


def filled(x: Tensor) -> Tensor:
    total = torch.zeros(x.shape, dtype=x.dtype)
    total.add_(10 * x)
    return total


def aliased(x: Tensor) -> Tensor:
    total = torch.zeros(x.shape, dtype=x.dtype)
    kept = total
    total += 10 * x
    return kept


class Tenfold(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return 10 * x

    @staticmethod
    def backward(ctx, g):
        return 10 * g


ESCAPES: dict[str, Callable[[Tensor], Tensor]] = {
    'vmap': lambda x: torch.vmap(tenfold)(x),
    'vmap of casts': lambda x: torch.vmap(lambda v: (10 * v).nan_to_num())(x),
    'script': jitted,
    'vjp': lambda x: torch.func.vjp(tenfold, x)[0],
    'jvp': lambda x: torch.func.jvp(tenfold, (x,), (torch.ones_like(x),))[0],
    'grad': lambda x: torch.func.grad(lambda v: (5 * v * v).sum())(x),
    'jacrev': lambda x: torch.func.jacrev(lambda v: 5 * v * v)(x)[0, :, 0].sum(0, keepdim=True),
    'as_tensor': lambda x: torch.as_tensor(10 * x, dtype=torch.float64),
    'tensor': lambda x: 10 * torch.as_tensor(torch.tensor(x.tolist())),
    'tensor of a tensor': lambda x: 10 * x.new_tensor(x),
    'as_subclass': lambda x: 10 * x.as_subclass(Tensor),
    'as_subclass, filled': lambda x: (10 * x).as_subclass(Tensor).nan_to_num(),
    'list': lambda x: 10 * torch.tensor([float(v) for v in x[0]])[None].to(x.dtype),
    'nested': lambda x: 10 * torch.nested.nested_tensor([x[0]]).to_padded_tensor(0.0),
    'dlpack': lambda x: 10 * torch.from_dlpack(x),
    'numpy': lambda x: torch.as_tensor(10 * x.numpy()),
    'autograd function': lambda x: Tenfold.apply(x),
    'changed constant': filled,
    'alias of a changed constant': aliased,
    'operator': lambda x: torch.ops.aten.mul(x, 10),
    'checkpoint': lambda x: torch.utils.checkpoint.checkpoint(tenfold, x, use_reentrant=False),
}  # fmt: skip


def _escape(name: str) -> Callable[[Draw], Verdict]:
    def build(draw: Draw) -> Verdict:
        function = ESCAPES[name]
        case = unary(draw, lambda x: x + function(x), ranged=draw.random() < 0.5)
        return _attacked_in_inference(case, draw)

    return build


def _attacked_in_inference(case: Case, draw: Draw) -> Verdict:
    """Compare single pairs without gradients, which not every escape passes on."""
    try:
        bound = propagate(case.module, case.sources(), case.module)
    except LipfaultError as error:
        return Verdict(True, details=[str(error)])
    verdict, x = Verdict(False), draw.tensor(*case.shapes['x'], dtype=torch.float64)
    x = case.center + case.half * (x / x.abs().max().clamp_min(1e-9))
    y = x + 1e-3 * case.half * torch.ones_like(x)
    with torch.no_grad():
        moved = case.module({'x': y}) - case.module({'x': x})
    found = float(moved.norm() / (y - x).norm())
    certified = bound.gains['x'] if hasattr(bound, 'gains') else 0.0
    verdict.ratio = found / (certified * (1 + 1e-6) + 1e-9)
    if verdict.ratio > 1:
        verdict.details.append(f'gain {found:.6g} found, {certified:.6g} certified')
    return verdict


TARGETS.update({f'escape: {name}': _escape(name) for name in ESCAPES})


# --- random networks


ACTIVATIONS = [
    nn.ReLU(), nn.GELU(), nn.SiLU(), nn.Mish(), nn.Hardswish(), nn.Tanh(), nn.ELU(3.0),
    nn.ELU(-2.0),
        nn.CELU(0.5), nn.Softplus(), nn.Softplus(1.0, 2.0), nn.LeakyReLU(-0.5), nn.Hardtanh(),
    nn.SELU(),
        nn.Sigmoid(), nn.GELU('tanh'), nn.Softsign(), nn.LogSigmoid(), nn.Hardsigmoid(), nn.ReLU6(),
]  # fmt: skip


class Branching(nn.Module):
    """Chain of random operations on vectors: dense maps, residuals, gates, blends, norms."""

    def __init__(self, draw: Draw, width: int):
        super().__init__()
        kinds = ['dense', 'residual', 'gate', 'blend', 'symlog', 'norm', 'maxmin', 'rms', 'softmax']
        self.kinds = [draw.choice(kinds) for _ in range(draw.size(2, 4))]
        self.dense = nn.ModuleList(nn.Linear(width, width) for _ in self.kinds)
        self.activations = [draw.choice(ACTIVATIONS) for _ in self.kinds]
        for layer in self.dense:
            layer.weight.data = draw.tensor(width, width, dtype=torch.float32) / width**0.5
            layer.bias.data = draw.tensor(width, dtype=torch.float32)

    def forward(self, signals: dict[str, Tensor]) -> Tensor:
        x, y = signals['x'], signals['y']
        for kind, layer, activation in zip(self.kinds, self.dense, self.activations, strict=True):
            new = activation(layer(x))
            if kind == 'residual':
                x = x + 0.5 * new
            elif kind == 'gate':
                x = torch.sigmoid(new) * torch.tanh(x)
            elif kind == 'blend':
                x = y + torch.sigmoid(new) * (torch.tanh(x) - y)
            elif kind == 'symlog':
                x = new.sign() * new.abs().log1p()
            elif kind == 'norm':
                x = F.layer_norm(new + x, x.shape[1:], eps=0.1)
            elif kind == 'maxmin':
                a, b = torch.cat([new, x], 1).chunk(2, 1)
                x = torch.cat([torch.maximum(a, b), torch.minimum(a, b)], 1)[:, : x.shape[1]]
            elif kind == 'rms':
                x = new - new.square().mean(1, keepdim=True).sqrt()
            elif kind == 'softmax':
                x = x - new.softmax(1)
            else:
                x = new
        return x


@target('network')
def network(draw: Draw) -> Verdict:
    width = draw.size(2, 5)
    half = 10 ** draw.uniform(-2, 0.5)
    shapes = {'x': (1, width), 'y': (1, width)}
    case = Case(Branching(draw, width), shapes, half, draw.uniform(-1, 1), draw.random() < 0.8)
    return attack_case(case, draw.size(0, 10**6), starts=4, steps=6)


# --- norms of layers


def _compare(bound: Callable[[], float], found: Callable[[], float]) -> Verdict:
    """Compare a bound with a gain that is reached."""
    try:
        certified = bound()
    except LipfaultError as error:
        return Verdict(True, details=[str(error)])
    reached = found()
    ratio = reached / (certified * (1 + 1e-6) + 1e-9)
    details = [f'norm {reached:.6g} found, {certified:.6g} certified'] if not ratio <= 1 else []
    return Verdict(False, ratio, details)


class Standardized(nn.Conv1d):
    def forward(self, x: Tensor) -> Tensor:
        flat = self.weight.flatten(1)
        std, mean = torch.std_mean(flat, dim=1, keepdim=True)
        weight = ((flat - mean) / (std + 1e-3)).reshape(self.weight.shape)
        return F.conv1d(x, weight, self.bias, self.stride, self.padding, self.dilation, self.groups)


def _convolution(draw: Draw) -> nn.Module:
    axes, groups = draw.choice([1, 1, 2]), draw.size(1, 2)
    kind = draw.choice(['convolution', 'convolution', 'convolution', 'transposed', 'own'])
    channels = [draw.size(1, 2) * groups for _ in range(2)]
    kernel, stride = draw.size(1, 4), draw.size(1, 3)
    if kind == 'own':
        return Standardized(channels[0], channels[1], kernel, groups=groups)
    if kind == 'transposed':
        cls = (nn.ConvTranspose1d, nn.ConvTranspose2d)[axes - 1]
        return cls(*channels, kernel, stride=stride, groups=groups)
    cls = (nn.Conv1d, nn.Conv2d)[axes - 1]
    mode = draw.choice(['zeros', 'circular', 'circular', 'reflect', 'replicate'])
    return cls(
        *channels, kernel, stride=stride, padding=draw.randint(0, 3), dilation=draw.size(1, 2),
        groups=groups, padding_mode=mode,
    )  # fmt: skip


def _largest_over_sizes(layer: nn.Module, sizes: list[tuple[int, ...]]) -> float:
    found = 0.0
    for size in sizes:
        try:
            inputs = linear_operator(layer, size).in_shape
        except LipfaultError:
            continue
        wide = layer.double()
        unit = torch.eye(math.prod(inputs), dtype=torch.float64).reshape(-1, *inputs)
        zero = torch.zeros(1, *inputs, dtype=torch.float64)
        with torch.no_grad():
            try:
                matrix = (wide(unit) - wide(zero)).flatten(1)
            except RuntimeError:
                continue
        found = max(found, float(torch.linalg.matrix_norm(matrix, 2)))
    return found


@target('norm of a layer at every size')
def sizeless(draw: Draw) -> Verdict:
    layer = _convolution(draw)
    layer.weight.data = draw.tensor(*layer.weight.shape, dtype=torch.float32)
    if draw.random() < 0.3:
        layer.weight.data.fill_(1.0)
    axes = layer.weight.ndim - 2
    sizes = [(n,) * axes for n in range(1, 9 if axes == 1 else 6)]
    return _compare(lambda: certified_norm(layer).value, lambda: _largest_over_sizes(layer, sizes))


@target('norm of a layer at one size')
def sized(draw: Draw) -> Verdict:
    layer = _convolution(draw)
    layer.weight.data = draw.tensor(*layer.weight.shape, dtype=torch.float32)
    size = tuple(draw.size(2, 7) for _ in range(layer.weight.ndim - 2))
    certify = draw.choice([certified_norm, exact_norm])
    return _compare(lambda: certify(layer, size).value, lambda: _largest_over_sizes(layer, [size]))


@target('norm of a dense layer')
def dense_norm(draw: Draw) -> Verdict:
    layer = nn.Linear(draw.size(1, 6), draw.size(1, 6), bias=False)
    kind = draw.choice([torch.float32, torch.float64, torch.bfloat16, torch.complex64])
    layer.weight = nn.Parameter(draw.tensor(*layer.weight.shape, dtype=kind))
    wide = layer.weight.detach().to(torch.complex128)
    return _compare(
        lambda: certified_norm(layer).value, lambda: float(torch.linalg.matrix_norm(wide, 2))
    )


# --- LipSDP


@target('lipsdp')
def lipsdp(draw: Draw) -> Verdict:
    activation, n = draw.choice(ACTIVATIONS), draw.size(1, 4)
    layers = [nn.Linear(n, 6), nn.Linear(6, 3)]
    for layer in layers:
        layer.weight.data = draw.tensor(*layer.weight.shape, dtype=torch.float32)
    net = nn.Sequential(layers[0], activation, layers[1])

    def found() -> float:
        wide = net.double()
        x = 4 * torch.randn(300, n, generator=draw.generator, dtype=torch.float64)
        y = x + 10 ** draw.uniform(-3, 0) * torch.randn(
            300, n, generator=draw.generator, dtype=torch.float64
        )
        with torch.no_grad():
            return float(((wide(y) - wide(x)).norm(dim=1) / (y - x).norm(dim=1)).max())

    return _compare(lambda: lipsdp_bound(net, steps=3).bound, found)


# --- modulated weights


@target('cap')
def capped(draw: Draw) -> Verdict:
    """A cap holds in evaluation for every precision, and for weights exchanged by any means."""
    kind = draw.choice([torch.float32, torch.float64, torch.bfloat16, torch.float16])
    layer = nn.Linear(draw.size(2, 6), draw.size(2, 6), bias=False)
    layer.weight.data = draw.tensor(*layer.weight.shape, dtype=torch.float32)
    layer.to(kind)
    target_ = draw.uniform(0.2, 2.0)
    (entry,) = modulate(layer, {'*': {'mode': 'cap', 'target': target_}})
    layer.eval()
    for _ in range(3):
        _ = layer.weight
        entry.raw.data.mul_(draw.choice([0.3, 1.0, 7.0]))
    weight = layer.weight.detach().double()
    # 1e-6: the exact norm has a relative error near 1e-7, and κ is stored in float32.
    return _compare(
        lambda: target_ * (1 + 2e-7) + 0.0, lambda: float(torch.linalg.matrix_norm(weight, 2))
    )


@target('cap of exchanged parameters')
def exchanged(draw: Draw) -> Verdict:
    layer = nn.Linear(4, 4, bias=False)
    modulate(layer, {'*': {'mode': 'cap', 'target': 1.0}})
    layer.train(draw.random() < 0.5)
    weight, x = draw.tensor(4, 4, dtype=torch.float32), torch.eye(4)
    found = 0.0
    for factor in (1.0, 10.0, 1e3):
        given = {'parametrizations.weight.original': factor * weight}
        y = torch.func.functional_call(layer, given, (x,)).detach().double()
        found = max(found, float(torch.linalg.matrix_norm(y, 2)))
        del given
    # In training the norm is an estimate from below, by one power iteration.
    return _compare(lambda: 1.0 if not layer.training else 1.2, lambda: found)
