"""Propagation rules of gated units and recurrent cells, composed of simpler operations."""

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from lipfault.errors import LipfaultError
from lipfault.lipschitz.propagation.bounded_tensor import (
    BoundedTensor,
    Function,
    Sensitivity,
    require_range,
    rule,
)
from lipfault.lipschitz.propagation.rules_shape import rearrange
from lipfault.lipschitz.propagation.sectors import SECTORS, slope_bounds


@rule('glu')
def _glu(func: Function, operand: BoundedTensor, dim: int = -1) -> BoundedTensor:
    """Bound a σ(b) with the halves a and b of one tensor, by its gradient (σ(b), a σ'(b)).

    Reference:
        Dauphin et al. 2017, https://arxiv.org/abs/1612.08083
    """
    del func
    value, gate = rearrange(torch.Tensor.chunk, operand, 2, dim)
    low, high = require_range(value, 'a gated linear unit')
    ends = require_range(gate, 'a gated linear unit')
    shares = [torch.sigmoid(end) for end in ends]
    corners = torch.stack([v * s for v in (low, high) for s in shares])
    steepest = slope_bounds(SECTORS['sigmoid'], torch.sigmoid, *ends)[1]
    slope = torch.hypot(shares[1], torch.maximum(low.abs(), high.abs()) * steepest)
    sensitivity = operand.sensitivity.scaled_gains(float(slope.max()))
    return BoundedTensor.build(
        value.shape, corners.amin(dim=0), corners.amax(dim=0), Sensitivity(sensitivity.gains)
    )


@rule('gru_cell')
def _gru_cell(func: Function, x: Any, h: Any, *weights: Tensor | None) -> Any:  # noqa: ANN401
    """Compose a GRU cell; the new state is a convex combination of candidate and old state.

    Reference:
        Cho et al. 2014, https://arxiv.org/abs/1406.1078
    """
    del func
    with torch._C._EnableTorchFunction():
        given, kept = (part.chunk(3, dim=-1) for part in _projected(x, h, weights))
        reset, update = (torch.sigmoid(given[i] + kept[i]) for i in (0, 1))
        candidate = torch.tanh(given[2] + reset * kept[2])
        return candidate + update * (h - candidate)


@rule('lstm_cell')
def _lstm_cell(func: Function, x: Any, states: Any, *weights: Tensor | None) -> Any:  # noqa: ANN401
    """Compose an LSTM cell.

    Reference:
        Hochreiter & Schmidhuber 1997, https://doi.org/10.1162/neco.1997.9.8.1735
    """
    del func
    with torch._C._EnableTorchFunction():
        given, kept = _projected(x, states[0], weights)
        gates = (given + kept).chunk(4, dim=-1)
        admit, forget, output = (torch.sigmoid(gates[i]) for i in (0, 1, 3))
        cell = forget * states[1] + admit * torch.tanh(gates[2])
        return output * torch.tanh(cell), cell


@rule('rnn_tanh_cell', 'rnn_relu_cell')
def _simple_cell(func: Function, x: Any, h: Any, *weights: Tensor | None) -> Any:  # noqa: ANN401
    with torch._C._EnableTorchFunction():
        given, kept = _projected(x, h, weights)
        activation = torch.tanh if 'tanh' in func.__name__ else torch.relu
        return activation(given + kept)


def _projected(x: Any, h: Any, weights: tuple[Tensor | None, ...]) -> list[Any]:  # noqa: ANN401
    """Apply the two dense maps of a recurrent cell to input and state."""
    w_input, w_state, *biases = weights
    if w_input is None or w_state is None:
        raise LipfaultError('a recurrent cell without weights has no rule')
    b_input, b_state = biases if biases else (None, None)
    return [functional.linear(x, w_input, b_input), functional.linear(h, w_state, b_state)]
