"""Exact norm of a modulated weight as one operator of torch, for compiled code and transforms.

Neither can follow the control flow of Lanczos; they treat the operator as a whole.
"""

from itertools import count
from typing import Any, Protocol
from weakref import WeakValueDictionary

import torch
from torch import Tensor

from lipfault.lipschitz.modulation.estimates import NormWithGradient, norm_precision


class _ExactNorm(Protocol):
    def exact_norm(self, weight: Tensor) -> NormWithGradient: ...


_HELD: WeakValueDictionary[int, _ExactNorm] = WeakValueDictionary()
_HANDLES = count()


def held(modulation: _ExactNorm) -> int:
    """Number a parametrization, for `exact_norm_operator`.

    Args:
        modulation: Parametrization; the number does not keep it alive.

    Returns:
        Number of its own.
    """
    handle = next(_HANDLES)
    _HELD[handle] = modulation
    return handle


@torch.library.custom_op('lipfault::exact_norm', mutates_args=())
def exact_norm_operator(weight: Tensor, handle: int) -> tuple[Tensor, Tensor, Tensor]:
    """Compute σ and its gradient as one operator, which transforms do not look into.

    Args:
        weight: Unscaled weight.
        handle: Number of its parametrization, see `held`.

    Returns:
        Norm, scalar, and the two vectors of its gradient, (outputs,) and (inputs,) of a dense
        layer, (weight.numel(),) and (1,) of a convolution.
    """
    sigma, left, right = _HELD[handle].exact_norm(weight)
    return sigma.clone(), left.clone(), right.clone()


@exact_norm_operator.register_fake
def _(weight: Tensor, handle: int) -> tuple[Tensor, Tensor, Tensor]:
    wide = norm_precision(weight)
    dense = weight.ndim == 2
    left = wide.new_empty(weight.shape[0] if dense else weight.numel())
    return wide.new_empty(()), left, wide.new_empty(weight.shape[1] if dense else 1)


@exact_norm_operator.register_vmap
def _(info: Any, in_dims: Any, weight: Tensor, handle: int) -> Any:  # noqa: ANN401
    del info
    parts = weight.unbind(in_dims[0])
    found = [
        torch.stack(p) for p in zip(*(exact_norm_operator(w, handle) for w in parts), strict=True)
    ]
    return tuple(found), (0, 0, 0)
