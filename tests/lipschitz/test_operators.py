"""Layers as operators, against the layers and their explicit matrices.

docs/theory.md, section 10.
"""

import itertools

import pytest
import torch
from torch import nn

from lipfault.errors import LipfaultError
from lipfault.lipschitz.norms.certificates import certify_layer
from lipfault.lipschitz.norms.exact import exact_triplet
from lipfault.lipschitz.norms.krylov import lanczos, start_vector
from lipfault.lipschitz.norms.operators import linear_operator


def convolutions():
    torch.manual_seed(1)
    for stride, dilation, groups, mode in itertools.product(
        (1, 2, 3), (1, 2), (1, 2), ('zeros', 'circular', 'replicate', 'reflect')
    ):
        settings = {'stride': stride, 'dilation': dilation, 'groups': groups, 'padding_mode': mode}
        yield nn.Conv1d(2, 4, 3, padding=dilation, **settings), (9,)
        yield nn.Conv2d(4, 2, (3, 2), padding=(dilation, 0), **settings), (7, 6)
    for stride, dilation, extra in ((1, 1, 0), (2, 1, 1), (3, 2, 2), (2, 3, 2)):
        settings = {'stride': stride, 'dilation': dilation, 'output_padding': extra, 'groups': 2}
        yield nn.ConvTranspose1d(4, 2, 3, padding=1, **settings), (6,)
        yield nn.ConvTranspose2d(2, 4, 3, padding=1, **settings), (4, 5)
    yield nn.Conv1d(2, 3, 4, padding='same', dilation=2), (11,)
    yield nn.Conv3d(1, 2, 2, padding=1, stride=2), (3, 4, 5)
    yield nn.Linear(7, 3), None


def name(case):
    return str(case) if isinstance(case, nn.Module) else 'x'.join(map(str, case or ()))


@pytest.mark.parametrize(('layer', 'size'), list(convolutions()), ids=name)
def test_operator_is_that_of_the_layer(layer, size):
    layer = layer.double()
    operator = linear_operator(layer, size)
    x = torch.randn(2, *operator.in_shape, dtype=torch.float64)
    y = torch.randn(2, *operator.out_shape, dtype=torch.float64)
    torch.testing.assert_close(operator.apply(x), layer(x) - layer(torch.zeros_like(x)))
    torch.testing.assert_close((operator.apply(x) * y).sum(), (operator.adjoint(y) * x).sum())
    left, right = operator.weight_gradient(y[:1], x[:1])
    (gradient,) = torch.autograd.grad((y[:1] * operator.apply(x[:1])).sum(), layer.weight)
    torch.testing.assert_close(torch.outer(left, right).reshape(gradient.shape), gradient)


@pytest.mark.parametrize(('layer', 'size'), list(convolutions()), ids=name)
def test_estimate_exact_and_certificate_sandwich_the_norm(layer, size, monkeypatch):
    layer = layer.double().requires_grad_(False)
    operator = linear_operator(layer, size)
    norm = float(torch.linalg.matrix_norm(operator.matrix(), 2))
    start = start_vector(operator.in_shape, operator.weight)
    estimate = float(lanczos(operator.apply, operator.adjoint, start, 60, 2e-4).sigma)
    assert norm * (1 - 1e-3) <= estimate <= norm * (1 + 1e-12)
    assert float(exact_triplet(operator).sigma) == pytest.approx(norm, rel=1e-6)
    assert norm <= certify_layer(layer, size) <= 1.001 * norm
    monkeypatch.setattr('lipfault.lipschitz.norms.certificates.EXPLICIT_LIMIT', 0)
    assert norm <= certify_layer(layer, size)


@pytest.mark.parametrize('channels', [1, 2, 6])
@pytest.mark.parametrize(('stride', 'kernel'), [(1, 3), (2, 4), (2, 3), (1, 5)])
def test_certificate_for_every_size_is_tight(channels, stride, kernel):
    layer = nn.Conv2d(channels, 4, kernel, stride=stride, padding=kernel // 2)
    operator = linear_operator(layer, (24, 24), layer.weight.detach().double())
    norm = float(exact_triplet(operator).sigma)
    assert norm <= certify_layer(layer) <= 1.05 * norm


def test_zero_padding_can_exceed_the_circular_grid():
    over = 0
    for _ in range(200):
        weight = torch.randn(2, 2, 3, 3, dtype=torch.float64)
        layer = nn.Conv2d(2, 2, 3, padding=1, bias=False).double()
        layer.weight = nn.Parameter(weight, requires_grad=False)
        norm = float(torch.linalg.matrix_norm(linear_operator(layer, (5, 5)).matrix(), 2))
        grid = torch.linalg.matrix_norm(torch.fft.fft2(weight, s=(5, 5)).permute(2, 3, 0, 1), 2)
        over += norm > float(grid.max())
        assert norm <= certify_layer(layer)
    assert over > 0


@pytest.mark.parametrize('seed', range(100))
def test_dense_estimate_and_certificate_on_random_shapes(seed):
    generator = torch.Generator().manual_seed(seed)
    rows, columns = torch.randint(1, 40, (2,), generator=generator).tolist()
    weight = torch.randn(rows, columns, generator=generator, dtype=torch.float64)
    rank = min(rows, columns) if seed % 3 else max(0, min(rows, columns) // 2)
    u, s, vh = torch.linalg.svd(weight, full_matrices=False)
    s[rank:] = 0
    layer = nn.Linear(columns, rows).double().requires_grad_(False)
    layer.weight.copy_(u @ torch.diag(s) @ vh)
    norm = float(torch.linalg.matrix_norm(layer.weight, 2))
    operator = linear_operator(layer)
    start = start_vector(operator.in_shape, operator.weight)
    found = float(lanczos(operator.apply, operator.adjoint, start, 200, 1e-6).sigma)
    assert found == pytest.approx(norm, rel=1e-4, abs=1e-12)
    assert norm * (1 - 1e-12) <= certify_layer(layer) <= norm * 1.001 + 1e-12


@pytest.mark.parametrize(
    ('layer', 'size', 'message'),
    [
        (nn.ReLU(), None, 'ReLU is not a dense or convolutional layer'),
        (nn.Conv1d(1, 1, 3), None, 'needs the input size'),
        (nn.Conv1d(1, 1, 3), (4, 4), 'size must have 1 numbers'),
        (nn.Conv1d(1, 1, 5), (3,), 'smaller than the kernel'),
    ],
)
def test_error_messages(layer, size, message):
    with pytest.raises(LipfaultError, match=message):
        linear_operator(layer, size)


@pytest.mark.filterwarnings('ignore:Initializing zero-element')
def test_empty_layer_is_an_error():
    with pytest.raises(LipfaultError, match='empty'):
        linear_operator(nn.Linear(0, 3))
