"""Attack entries of the propagation rules: a function from the seed to a case, by rule."""

import math
import operator
from collections.abc import Callable

import torch
from attack import Call, Case, Draw
from torch import nn
from torch.nn import functional as F

Entry = Callable[[Draw], Case]
ENTRIES: dict[str, Entry] = {}


def entry(*names: str) -> Callable[[Callable[..., Case]], Callable[..., Case]]:
    """Register an entry for rules; it is called with the draw and the rule's name."""

    def register(build: Callable[..., Case]) -> Callable[..., Case]:
        ENTRIES.update({n: lambda draw, n=n: build(draw, n) for n in names})
        return build

    return register


def unary(draw: Draw, function, shape=None, ranged=None, center=0.0, **tensors) -> Case:
    """Case of one input behind an affine map, so that intervals are those of a network."""
    shape = shape or (1, draw.size(1, 6))
    half = 10 ** draw.uniform(-1.5, 1.2)
    if center:
        half = min(half, 0.9 * abs(center))
    ranged = draw.random() < 0.7 if ranged is None else ranged
    shift = center or draw.choice([0.0, 0.0, draw.uniform(-8, 8)])
    return Case(Call(function, **tensors), {'x': shape}, half, shift, ranged)


def binary(draw: Draw, function, shapes=None, ranged=True, **tensors) -> Case:
    n = draw.size(1, 5)
    shapes = shapes or {'x': (1, n), 'y': (1, n)}
    return Case(Call(function, **tensors), shapes, 10 ** draw.uniform(-1, 1), 0.0, ranged)


# --- activations


@entry(
    'relu', 'relu6', 'silu', 'mish', 'hardswish', 'selu', 'hardsigmoid', 'softsign', 'logsigmoid',
    'tanh', 'sigmoid',
)  # fmt: skip
def activation(draw: Draw, name: str) -> Case:
    function = getattr(F, name) if hasattr(F, name) else getattr(torch, name)
    if draw.random() < 0.5 and name not in ('softsign', 'logsigmoid', 'tanh', 'sigmoid'):
        return unary(draw, lambda x: function(x.clone(), inplace=True))
    return unary(draw, lambda x: function(x))


@entry('abs', 'absolute', 'asinh', 'arcsinh', 'atan', 'sin', 'cos', 'square')
def elementary(draw: Draw, name: str) -> Case:
    return unary(draw, lambda x: getattr(torch, name)(x), ranged=name == 'square' or None)


@entry('log_sigmoid')
def log_sigmoid(draw: Draw, name: str) -> Case:
    return unary(draw, lambda x: torch._C._nn.log_sigmoid(x))


@entry('relu_')
def relu_(draw: Draw, name: str) -> Case:
    return unary(draw, lambda x: (2 * x).relu_())


@entry('gelu')
def gelu(draw: Draw, name: str) -> Case:
    approximate = draw.choice(['none', 'tanh'])
    return unary(draw, lambda x: F.gelu(x, approximate=approximate))


@entry('elu', 'celu', 'leaky_relu')
def sloped(draw: Draw, name: str) -> Case:
    value = draw.choice([draw.uniform(-3, 3), draw.uniform(0.1, 4), 1.0, float('nan')])
    function, keyword = getattr(F, name), 'negative_slope' if name == 'leaky_relu' else 'alpha'
    if draw.random() < 0.5:
        return unary(draw, lambda x: function(x, value))
    return unary(draw, lambda x: function(x, **{keyword: value}))


@entry('prelu')
def prelu(draw: Draw, name: str) -> Case:
    channels = draw.size(1, 4)
    weight = draw.tensor(draw.choice([1, channels]), dtype=torch.float32)
    return unary(draw, lambda x, weight: F.prelu(x, weight), (1, channels, 3), weight=weight)


@entry('softplus')
def softplus(draw: Draw, name: str) -> Case:
    beta, threshold = draw.choice([draw.uniform(0.2, 4), -1.0, 1.0]), draw.choice([1.0, 20.0, 25.0])
    return unary(draw, lambda x: F.softplus(x, beta, threshold))


@entry('hardtanh')
def hardtanh(draw: Draw, name: str) -> Case:
    low, high = sorted([draw.uniform(-3, 3), draw.uniform(-3, 3)])
    return unary(draw, lambda x: F.hardtanh(x, low, high))


@entry('clamp', 'clip')
def clamp(draw: Draw, name: str) -> Case:
    n = draw.size(1, 5)
    ends = [draw.choice([None, draw.uniform(-3, 3)]), draw.uniform(-3, 3)]
    if draw.random() < 0.3:
        low = draw.tensor(draw.choice([1, 2]), n)
        return unary(draw, lambda x, low: getattr(x, name)(min=low), (1, n), low=low)
    return unary(draw, lambda x: getattr(torch, name)(x, *ends), (1, n))


@entry('clamp_min', 'clamp_max')
def clamp_one(draw: Draw, name: str) -> Case:
    end = draw.uniform(-3, 3)
    return unary(draw, lambda x: getattr(x, name)(end))


# --- functions without a global constant


@entry('pow', '__pow__', 'pow_')
def power(draw: Draw, name: str) -> Case:
    exponent = draw.choice([2, 2.0, 0.5, 3])
    center = 4.0 if exponent == 0.5 else 0.0

    def function(x):
        if name == 'pow_':
            return (1.0 * x).pow_(exponent)
        return torch.pow(x, exponent) if name == 'pow' else x**exponent

    return unary(draw, function, ranged=True, center=center)


@entry('sqrt', 'log', 'log1p', 'exp')
def rooted(draw: Draw, name: str) -> Case:
    function = getattr(torch, name)
    if name == 'sqrt' and draw.random() < 0.5:
        dim = draw.choice([0, 1])
        return unary(draw, lambda x: x.square().mean(dim, keepdim=True).clamp_min(1e-3).sqrt())
    if name == 'log1p' and draw.random() < 0.5:
        return unary(draw, lambda x: x.abs().log1p())
    case = unary(draw, lambda x: function(x), ranged=True, center=draw.uniform(0.5, 5))
    case.half = min(case.half, 5.0)
    return case


@entry('sign', 'sgn')
def signed(draw: Draw, name: str) -> Case:
    inner = draw.choice([torch.log1p, torch.tanh, torch.asinh, F.softsign])
    return unary(draw, lambda x: getattr(x, name)() * inner(x.abs()))


# --- arithmetic

OPERATORS = {
    '__add__': operator.add, '__sub__': operator.sub, '__mul__': operator.mul,
    '__iadd__': operator.iadd, '__isub__': operator.isub, '__imul__': operator.imul,
    'add': torch.add, 'sub': torch.sub, 'subtract': torch.subtract, 'mul': torch.mul,
    'multiply': torch.multiply, 'maximum': torch.maximum, 'minimum': torch.minimum,
    'max': torch.max, 'min': torch.min,
    'add_': lambda a, b: a.add_(b), 'sub_': lambda a, b: a.sub_(b), 'mul_': lambda a, b: a.mul_(b),
}  # fmt: skip


@entry(*OPERATORS)
def two_operands(draw: Draw, name: str) -> Case:
    function, n = OPERATORS[name], draw.size(1, 4)
    kind = draw.choice(['both', 'constant', 'same', 'number'])
    if name in ('max', 'min') and draw.random() < 0.4:
        reduced = draw.choice([lambda x: function(x), lambda x: function(x, 1)[0]])
        return unary(draw, reduced)
    if kind == 'both' and name in ('add', 'sub', 'subtract') and draw.random() < 0.5:
        alpha = draw.uniform(-2, 2)
        return binary(draw, lambda x, y: function(x, y, alpha=alpha), ranged=draw.random() < 0.5)
    if kind == 'both':
        return binary(draw, lambda x, y: function(x.clone(), y))
    if kind == 'same':
        return unary(draw, lambda x: function(2 * x, x.tanh()), ranged=True)
    value = draw.uniform(-3, 3)
    if kind == 'number' and name[:3] not in ('max', 'min'):
        return unary(draw, lambda x: function(x.clone(), value))
    held = draw.tensor(1, n)
    return unary(draw, lambda x, held: function(x.clone(), held), (1, n), held=held)


@entry('__radd__', '__rsub__', '__rmul__', 'rsub', '__neg__', 'neg', 'negative')
def reflected(draw: Draw, name: str) -> Case:
    value = draw.uniform(-3, 3)
    return unary(
        draw,
        {
            '__radd__': lambda x: value + x,
            '__rsub__': lambda x: value - x,
            '__rmul__': lambda x: value * x,
            'rsub': lambda x: torch.rsub(x, value),
            '__neg__': lambda x: -x,
        }.get(name, lambda x: getattr(torch, name)(x)),
    )


@entry('div', '__truediv__', '__itruediv__', 'div_', 'true_divide')
def quotient(draw: Draw, name: str) -> Case:
    value = draw.uniform(0.1, 3)
    divide = {
        'div': torch.div, '__truediv__': operator.truediv, '__itruediv__': operator.itruediv,
        'div_': lambda a, b: a.div_(b), 'true_divide': torch.true_divide,
    }[name]  # fmt: skip
    if draw.random() < 0.5:
        return unary(draw, lambda x: divide(x.clone(), value))
    case = binary(draw, lambda x, y: divide(x.clone(), y))
    case.center, case.half = draw.uniform(1.5, 3), draw.uniform(0.1, 1.2)
    return case


@entry('lerp')
def lerp(draw: Draw, name: str) -> Case:
    if draw.random() < 0.5:
        return binary(draw, lambda x, y: torch.lerp(x, y.tanh(), torch.sigmoid(x)))
    weight = draw.uniform(-1, 2)
    return binary(draw, lambda x, y: x.lerp(y, weight))


# --- shapes


SHAPES: dict[str, Callable] = {
    'T': lambda x: x[0].T, 'mT': lambda x: x.mT, 't': lambda x: x[0].t(),
    'reshape': lambda x: x.reshape(1, -1), 'view': lambda x: x.view(1, -1),
    'flatten': lambda x: x.flatten(1), 'ravel': lambda x: x.ravel(),
    'unflatten': lambda x: x.unflatten(1, (2, -1)), 'permute': lambda x: x.permute(0, 2, 1),
    'transpose': lambda x: x.transpose(1, 2), 'swapaxes': lambda x: x.swapaxes(1, 2),
    'swapdims': lambda x: x.swapdims(1, 2), 'movedim': lambda x: x.movedim(1, 2),
    'unsqueeze': lambda x: x.unsqueeze(1), 'squeeze': lambda x: x.squeeze(0),
    'expand': lambda x: x.expand(3, -1, -1),
    'expand_as': lambda x: x.expand_as(torch.zeros(2, 4, 6)),
    'broadcast_to': lambda x: x.broadcast_to(3, 4, 6),
    'view_as': lambda x: x.view_as(torch.zeros(24)),
    'reshape_as': lambda x: x.reshape_as(torch.zeros(24)), 'repeat': lambda x: x.repeat(1, 2, 3),
    'repeat_interleave': lambda x: x.repeat_interleave(2, 1), 'tile': lambda x: x.tile(2),
    'narrow': lambda x: x.narrow(1, 1, 2), 'select': lambda x: x.select(1, 1),
    '__getitem__': lambda x: x[:, [0, 0, 1]], 'chunk': lambda x: x.chunk(2, 1),
    'split': lambda x: x.split(3, 2), 'split_with_sizes': lambda x: x.split_with_sizes([1, 3], 1),
    'tensor_split': lambda x: x.tensor_split(3, 1), 'unbind': lambda x: x.unbind(1),
    'index_select': lambda x: x.index_select(1, torch.tensor([0, 3, 3])),
    'pixel_shuffle': lambda x: F.pixel_shuffle(x.reshape(1, 4, 2, 3), 2),
    'pixel_unshuffle': lambda x: F.pixel_unshuffle(x.reshape(1, 1, 4, 6), 2),
    'flip': lambda x: x.flip(1), 'roll': lambda x: x.roll(1, 2),
    'channel_shuffle': lambda x: F.channel_shuffle(x, 2), 'unfold': lambda x: x.unfold(2, 3, 2),
}  # fmt: skip


@entry(*SHAPES)
def rearranged(draw: Draw, name: str) -> Case:
    function = SHAPES[name]
    if name == 'unfold' and draw.random() < 0.5:
        return unary(draw, lambda x: F.unfold(x[None], (2, 3), padding=1), (1, 4, 6))
    return unary(draw, lambda x: function(torch.tanh(x)), (1, 4, 6))


@entry('cat', 'concat', 'concatenate', 'stack')
def joined(draw: Draw, name: str) -> Case:
    join = getattr(torch, name)
    kind = draw.choice(['chunks', 'maxmin', 'repeated', 'two', 'constant', 'dense'])
    if kind == 'chunks':
        return unary(draw, lambda x: join([*reversed(x.chunk(4, 1))], 1), (1, 8))
    if kind == 'maxmin':

        def function(x):
            a, b = x.chunk(2, 1)
            return join([torch.maximum(a, b), torch.minimum(a, b), a], 1)

        return unary(draw, function, (1, 6))
    if kind == 'repeated':
        return unary(draw, lambda x: join([x[:, :2], x[:, 1:3], 2 * x[:, :2]], 1), (1, 3))
    if kind == 'two':
        return binary(draw, lambda x, y: join([x, y, x], 1), ranged=draw.random() < 0.5)
    if kind == 'constant':
        return unary(draw, lambda x: join([x, torch.ones_like(x)], 1))
    w = draw.tensor(3, 4, dtype=torch.float32)
    if name == 'stack':
        return unary(draw, lambda x, w: join([x, x @ w[:, :3]], 1), (1, 3), w=w)

    def function(x, w):
        return F.linear(join([x.relu(), F.linear(x, w.T)], 1), w.repeat(1, 2)[:, :7])

    return unary(draw, function, (1, 3), w=w)


@entry('where', 'masked_fill', 'masked_fill_')
def masked(draw: Draw, name: str) -> Case:
    n = draw.size(2, 5)
    mask = torch.rand(1, n, generator=draw.generator) < draw.choice([0.0, 0.5, 1.0])
    value = draw.uniform(-2, 2)
    if name == 'where':
        if draw.random() < 0.5:
            return unary(draw, lambda x, mask: torch.where(mask, x, value), (1, n), mask=mask)
        shapes = {'x': (1, n), 'y': (1, n)}
        return binary(draw, lambda x, y, mask: torch.where(mask, x, 3 * y), shapes, mask=mask)
    return unary(draw, lambda x, mask: getattr(2 * x, name)(mask, value), (1, n), mask=mask)


@entry(
    'contiguous', 'clone', 'detach', 'float', 'double', 'half', 'bfloat16', 'to', 'type_as',
    'requires_grad_', 'cpu', 'cuda', 'data',
)  # fmt: skip
def identity(draw: Draw, name: str) -> Case:
    if name == 'to':
        kind = draw.choice([torch.float64, torch.bfloat16, torch.int64])
        return unary(draw, lambda x: (3 * x).to(kind).to(x.dtype))
    if name == 'type_as':
        other = draw.tensor(1, dtype=draw.choice([torch.float64, torch.float16]))
        return unary(draw, lambda x, other: (3 * x).type_as(other).double(), other=other)
    # A float64 copy of a module that casts to float32 rounds; where it casts it is attacked apart.
    if name in ('float', 'detach', 'data', 'requires_grad_'):
        return unary(draw, lambda x: 3 * x + 0 * len(str(getattr(x, name))[:0]))
    return unary(draw, lambda x: getattr(3 * x, name)().to(x.dtype))


@entry(
    'dropout', 'dropout1d', 'dropout2d', 'dropout3d', 'alpha_dropout', 'feature_dropout',
    'identity',
)  # fmt: skip
def idle(draw: Draw, name: str) -> Case:
    if name == 'identity':
        return unary(draw, lambda x: nn.Identity()(x))
    shape = (1, 3, *[2] * (int(name[-2]) if name[-1] == 'd' else 0))
    training = draw.random() < 0.3
    if name == 'feature_dropout':
        return unary(draw, lambda x: torch.feature_dropout(x, 0.5, train=training), (1, 3, 2))
    if draw.random() < 0.3 and name != 'alpha_dropout':
        return unary(draw, lambda x: getattr(F, name)(x, 0.5), shape)
    return unary(draw, lambda x: getattr(F, name)(x, 0.5, training), shape)


METADATA = (
    'shape', 'size', 'dim', 'ndim', 'numel', 'device', 'dtype', '__len__', 'is_floating_point',
    'is_cuda', 'requires_grad', 'is_contiguous', 'stride', 'layout', 'is_sparse', 'is_complex',
    'is_nested', 'is_quantized', 'is_meta', 'grad_fn', 'is_leaf', 'element_size',
    'nelement', 'ndimension', 'get_device', 'is_mps', 'is_xpu', 'itemsize', 'is_cpu',
)  # fmt: skip
ALLOCATIONS = {
    'new_zeros': lambda x: x.new_zeros(x.shape), 'new_ones': lambda x: x.new_ones(x.shape),
    'new_empty': lambda x: x.new_empty(x.shape).fill_(1.0),
    'new_full': lambda x: x.new_full(x.shape, 2.0),
    'zeros_like': torch.zeros_like, 'ones_like': torch.ones_like,
}  # fmt: skip


@entry(*METADATA)
def queried(draw: Draw, name: str) -> Case:
    def function(x):
        value = getattr(x, name)
        return 2 * x + 0 * len(str(value() if callable(value) else value))

    return unary(draw, function)


@entry(*ALLOCATIONS)
def allocated(draw: Draw, name: str) -> Case:
    return unary(draw, lambda x: x * ALLOCATIONS[name](x) + x)


# --- pooling and reductions


@entry('mean', 'sum', 'amax', 'amin', 'logsumexp')
def reduced(draw: Draw, name: str) -> Case:
    dim = draw.choice([1, 2, (1, 2)])
    keep = draw.random() < 0.5
    if name in ('mean', 'sum') and draw.random() < 0.3:
        kind = draw.choice([torch.float16, torch.int64, torch.float64])
        return unary(draw, lambda x: getattr(x, name)(dim, dtype=kind).double(), (1, 3, 4))
    return unary(draw, lambda x: getattr(torch, name)(x, dim, keepdim=keep), (1, 3, 4))


@entry('softmax', 'log_softmax')
def softened(draw: Draw, name: str) -> Case:
    dim = draw.choice([1, 2])
    return unary(draw, lambda x: getattr(F, name)(x, dim=dim), (1, 3, 4))


@entry('sort', 'msort', 'topk')
def ordered(draw: Draw, name: str) -> Case:
    function = {
        'sort': lambda x: x.sort(1)[0],
        'msort': lambda x: torch.msort(x[0]),
        'topk': lambda x: x.topk(2, 1)[0],
    }[name]
    return unary(draw, function, (1, 5))


@entry(
    'avg_pool1d', 'avg_pool2d', 'avg_pool3d', 'max_pool1d', 'max_pool2d', 'max_pool3d',
)  # fmt: skip
def pooled(draw: Draw, name: str) -> Case:
    axes, function = int(name[-2]), getattr(F, name)
    kernel = draw.size(1, 3)
    options = {'stride': draw.size(1, 3), 'padding': draw.randint(0, kernel // 2)}
    options['ceil_mode'] = draw.random() < 0.5
    if name.startswith('max'):
        options['dilation'] = draw.size(1, 2)
    elif draw.random() < 0.5:
        options['count_include_pad'] = False
    if name in ('avg_pool2d', 'avg_pool3d') and draw.random() < 0.2:
        options['divisor_override'] = draw.choice([-2, 1, 3])
    unbatched = draw.random() < 0.15
    shape = (*([1] if unbatched else [1, 2]), *[draw.size(4, 6) for _ in range(axes)])
    return unary(draw, lambda x: function(x, kernel, **options), shape)


@entry(
    'adaptive_avg_pool1d', 'adaptive_avg_pool2d', 'adaptive_avg_pool3d',
    'adaptive_max_pool1d', 'adaptive_max_pool2d', 'adaptive_max_pool3d',
)  # fmt: skip
def adapted(draw: Draw, name: str) -> Case:
    axes, size = int(name[-2]), draw.size(1, 4)
    shape = (1, 2, *[draw.size(3, 5) for _ in range(axes)])
    return unary(draw, lambda x: getattr(F, name)(x, size), shape)


@entry('interpolate')
def interpolated(draw: Draw, name: str) -> Case:
    axes = draw.size(1, 3)
    mode = draw.choice(
        ['nearest', 'nearest-exact', 'area', {1: 'linear', 2: 'bilinear', 3: 'trilinear'}[axes]]
    )
    shape = (1, 2, *[draw.size(2, 4) for _ in range(axes)])
    options = {'align_corners': draw.random() < 0.5} if 'linear' in mode else {}
    if draw.random() < 0.5:
        size = [draw.size(1, 7) for _ in range(axes)]
        return unary(draw, lambda x: F.interpolate(x, size, mode=mode, **options), shape)
    factor = draw.uniform(0.5, 2.5)
    return unary(draw, lambda x: F.interpolate(x, scale_factor=factor, mode=mode, **options), shape)


@entry('pad')
def padded(draw: Draw, name: str) -> Case:
    mode = draw.choice(['constant', 'circular', 'reflect', 'replicate'])
    pads = [draw.randint(0, 2) for _ in range(2)]
    if mode == 'constant' and draw.random() < 0.3:
        pads[0] = -1
    value = draw.choice([0.0, 0.0, 1.5]) if mode == 'constant' else None
    weight = draw.tensor(2, 2, 2, dtype=torch.float32)
    convolved = draw.random() < 0.5
    stride = draw.size(1, 2)

    def function(x, weight):
        y = F.pad(x, pads, mode, value)
        return F.conv1d(y, weight, stride=stride) if convolved else y

    return unary(draw, function, (1, 2, draw.size(3, 6)), weight=weight)


# --- linear maps and normalizations


@entry('linear')
def dense(draw: Draw, name: str) -> Case:
    n, m = draw.size(), draw.size()
    kind = draw.choice([None, None, None, torch.complex64, torch.bfloat16])
    activation = draw.choice([torch.tanh, torch.abs, torch.sin, F.gelu, torch.relu, None])
    w, v = draw.tensor(m, n, dtype=kind or torch.float32), draw.tensor(3, m, dtype=torch.float32)
    if kind == torch.complex64:
        return unary(draw, lambda x, w: F.linear(x, w), (1, n), w=w)
        return unary(draw, lambda x, w: F.linear(x, w), (1, n), w=w)

    def function(x, w, v):
        y = F.linear(x, w)
        return y if activation is None else F.linear(activation(y), v)

    return unary(draw, function, (1, n), w=w, v=v)


@entry('matmul', '__matmul__', 'mm', '__rmatmul__')
def product(draw: Draw, name: str) -> Case:
    n, w = draw.size(), draw.tensor(draw.size(), draw.size(), dtype=torch.float32)
    if name == '__rmatmul__':
        return unary(draw, lambda x, w: w @ x, (1, w.shape[1], n), w=w)
    multiply = {'matmul': torch.matmul, '__matmul__': operator.matmul, 'mm': torch.mm}[name]
    return unary(draw, lambda x, w: multiply(x, w), (1, len(w)), w=w)


@entry('conv1d', 'conv2d', 'conv3d')
def convolved(draw: Draw, name: str) -> Case:
    axes, groups = int(name[-2]), draw.size(1, 2)
    kernel = [draw.size(1, 3) for _ in range(axes)]
    weight = draw.tensor(2 * groups, draw.size(1, 2), *kernel, dtype=torch.float32)
    options = {'groups': groups, 'dilation': draw.size(1, 2)}
    if draw.random() < 0.3:
        options['padding'] = draw.choice(['same', 'valid'])
    else:
        options |= {'stride': draw.size(1, 3), 'padding': draw.randint(0, 2)}
    shape = (1, groups * weight.shape[1], *[draw.size(5, 6) for _ in range(axes)])
    function = getattr(F, name)
    return unary(draw, lambda x, weight: function(x, weight, **options), shape, weight=weight)


@entry('conv_transpose1d', 'conv_transpose2d', 'conv_transpose3d')
def transposed(draw: Draw, name: str) -> Case:
    axes, groups, stride = int(name[-2]), draw.size(1, 2), draw.size(1, 3)
    kernel = [draw.size(1, 3) for _ in range(axes)]
    weight = draw.tensor(2 * groups, draw.size(1, 2), *kernel, dtype=torch.float32)
    options = {
        'groups': groups, 'stride': stride, 'padding': draw.randint(0, 1), 'dilation': 1,
        'output_padding': draw.randint(0, stride - 1),
    }  # fmt: skip
    shape = (1, 2 * groups, *[draw.size(2, 4) for _ in range(axes)])
    function = getattr(F, name)
    return unary(draw, lambda x, weight: function(x, weight, **options), shape, weight=weight)


@entry('bilinear')
def bilinear(draw: Draw, name: str) -> Case:
    n, m = draw.size(1, 4), draw.size(1, 4)
    weight = draw.tensor(draw.size(1, 3), n, m, dtype=torch.float32)
    shapes = {'x': (1, n), 'y': (1, m)}
    return binary(draw, lambda x, y, weight: F.bilinear(x, y, weight), shapes, weight=weight)


NORMALIZATIONS = {
    'batch_norm': lambda c: nn.BatchNorm1d(c),
    'instance_norm': lambda c: nn.InstanceNorm1d(c, affine=True),
    'group_norm': lambda c: nn.GroupNorm(1, c),
    'layer_norm': lambda c: nn.LayerNorm((c, 4)),
    'rms_norm': lambda c: nn.RMSNorm((c, 4)),
}


@entry(*NORMALIZATIONS)
def normalized(draw: Draw, name: str) -> Case:
    channels = draw.size(1, 4)
    layer = NORMALIZATIONS[name](channels).eval()
    layer.eps = draw.choice([1e-5, 1e-2, 1.0, 1e-3])
    for parameter in layer.parameters():
        parameter.data = draw.tensor(*parameter.shape, dtype=torch.float32)
    if name == 'batch_norm':
        layer.running_var.uniform_(0.1, 3.0, generator=draw.generator)
        layer.running_mean.normal_(generator=draw.generator)
        if draw.random() < 0.1:
            layer.running_var.fill_(math.nan)
    return unary(draw, lambda x, layer: layer(x), (1, channels, 4), layer=layer)


# --- gated units and cells


@entry('glu')
def gated(draw: Draw, name: str) -> Case:
    return unary(draw, lambda x: F.glu(x, 1), (1, 4), ranged=True)


CELLS = {'gru_cell': nn.GRUCell, 'lstm_cell': nn.LSTMCell, 'rnn_tanh_cell': nn.RNNCell}


@entry(*CELLS, 'rnn_relu_cell')
def cell(draw: Draw, name: str) -> Case:
    n, m = draw.size(1, 3), draw.size(1, 3)
    layer = CELLS[name](n, m) if name in CELLS else nn.RNNCell(n, m, nonlinearity='relu')
    for parameter in layer.parameters():
        parameter.data = draw.tensor(*parameter.shape, dtype=torch.float32)
    shapes = {'x': (1, n), 'y': (1, m)}
    if name == 'lstm_cell':
        return binary(draw, lambda x, y, layer: layer(x, (y.tanh(), y)), shapes, layer=layer)
    return binary(draw, lambda x, y, layer: layer(x, y), shapes, layer=layer)
