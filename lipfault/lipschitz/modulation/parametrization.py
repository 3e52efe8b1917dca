"""The parametrization that keeps one weight's spectral norm at, below or above a target."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, NamedTuple, Self, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from lipfault.errors import LipfaultError
from lipfault.lipschitz.modulation.isometry import isometry
from lipfault.lipschitz.modulation.scaled_linear import DenseNorm, dense_norm, scaled_linear
from lipfault.lipschitz.modulation.scaling import (
    scale_by_autograd,
    scale_by_norm,
    scaling_factor_float,
)
from lipfault.lipschitz.modulation.targets import (
    SCALING,
    LearnedTarget,
    ModulationRule,
    ScheduledTarget,
)
from lipfault.lipschitz.norms.exact import exact_triplet, require_finite
from lipfault.lipschitz.norms.krylov import (
    SingularTriplet,
    lanczos,
    normalize,
    power_step,
    start_vector,
)
from lipfault.lipschitz.norms.operators import LinearOperator, linear_operator

START_STEPS, START_TOLERANCE = 60, 1e-3

WeightVersion = tuple[int, int]
NEVER: WeightVersion = (0, -1)


class NormWithGradient(NamedTuple):
    """A weight's norm, scalar, and ∂norm/∂weight as two vectors (see `LinearOperator.slope`)."""

    sigma: Tensor
    left: Tensor
    right: Tensor


class Modulation(nn.Module):
    """Parametrization of one weight: raw weight in, modulated weight out.

    In training the norm is an estimate from below by a warm-started power iteration, advanced by
    the layer's forward pass only, once per change of the weight; in evaluation it is exact, a pure
    function of the weight. Norms are computed in float32 (float64 for a float64 weight) with
    autocast off.

    Args:
        layer: The layer whose weight it will be registered on.
        rule: Mode and target.
        name: Name of the layer, for error messages.

    Raises:
        LipfaultError: If the weight is empty, NaN or Inf, or zero where a scaling must lift it.
    """

    right: Tensor

    def __init__(self, layer: nn.Module, rule: ModulationRule, name: str) -> None:
        """Set the first target and, where the input size is known, find the singular vectors."""
        super().__init__()
        self.rule, self.name = rule, name
        self._geometry = (_without_parameters(layer),)
        self._trained: tuple[WeightVersion, NormWithGradient | DenseNorm] | None = None
        self._exact: tuple[WeightVersion, NormWithGradient] | None = None
        weight: Tensor = layer.weight  # type: ignore[assignment]
        empty = _norm_precision(weight.detach()).new_empty(0)
        self.register_buffer('right', empty)
        self._set_first_target(empty.new_zeros(()))
        if isinstance(layer, nn.Linear) or rule.size is not None:
            self.initialize(weight, rule.size)

    def _set_first_target(self, zero: Tensor) -> None:
        target = self.rule.target
        if isinstance(target, LearnedTarget):
            share = (target.first - target.low) / (target.high - target.low)
            self.logit = nn.Parameter(torch.logit(zero + share))
        elif isinstance(target, ScheduledTarget):
            self.register_buffer('fixed', zero + target.at(0.0))
        else:
            self.register_buffer('fixed', zero + float(target))

    @property
    def kappa(self) -> Tensor:
        """The target κ now, a scalar; differentiable if it is learned."""
        if isinstance(self.rule.target, LearnedTarget):
            low, high = self.rule.target.low, self.rule.target.high
            return low + (high - low) * torch.sigmoid(self.logit)
        fixed: Tensor = self.fixed  # type: ignore[assignment]
        return fixed

    def set_progress(self, progress: float) -> None:
        """Move a scheduled target to where it is after the share `progress` of the training."""
        if isinstance(self.rule.target, ScheduledTarget):
            self.kappa.fill_(self.rule.target.at(progress))

    @property
    def initialized(self) -> bool:
        """Whether the input size is known and with it the norm."""
        return self.right.numel() > 0

    def initialize(self, weight: Tensor, size: Sequence[int] | None) -> None:
        """Find the singular vectors to start from, for inputs of this spatial size."""
        with torch.inference_mode(False), torch.no_grad(), _full_precision(weight):
            operator = self._finite_operator(weight, size)
            start = start_vector(operator.in_shape, operator.weight)
            triplet = lanczos(operator.apply, operator.adjoint, start, START_STEPS, START_TOLERANCE)
            if self.rule.mode in ('pin', 'floor') and not bool(triplet.sigma > 0):
                raise LipfaultError(
                    f'layer {self.name!r}: its weight is zero, no scaling can give it a norm; '
                    'initialize it or use cap'
                )
            self.right = triplet.right.clone()
            self._trained = (NEVER, _norm_with_gradient(operator, triplet))

    def update_norm(self, weight: Tensor) -> None:
        """Take one power iteration if the weight has changed since the last one."""
        if self._trained is not None and self._trained[0] == _weight_version(weight):
            return
        with torch.no_grad(), _full_precision(weight):
            operator = self._operator(_norm_precision(weight.detach()))
            start = self.right.to(operator.weight.dtype)
            triplet = power_step(operator.apply, operator.adjoint, start)
            self.right.copy_(triplet.right)
            self._trained = (_weight_version(weight), _norm_with_gradient(operator, triplet))

    def norm(self, weight: Tensor) -> NormWithGradient:
        """Norm of the raw weight: in evaluation exact, in training the last estimate from below."""
        if not self.training:
            return self.exact_norm(weight)
        if self._trained is None:
            self._trained = (NEVER, self._estimate(weight))
        found = self._trained[1]
        return _from_dense_norm(found) if isinstance(found, DenseNorm) else found

    def exact_norm(self, weight: Tensor) -> NormWithGradient:
        """Exact norm of the raw weight; leaves the training's estimate alone."""
        if self._exact is None or self._exact[0] != _weight_version(weight):
            with torch.inference_mode(False), torch.no_grad(), _full_precision(weight):
                operator = self._finite_operator(weight.double(), self._input_size())
                found = _norm_with_gradient(operator, exact_triplet(operator))
                narrow = (part.to(_norm_precision(weight).dtype) for part in found)
                # Inside a torch.func transform these are wrapped, and must not outlive it.
                self._exact = (
                    _weight_version(weight),
                    NormWithGradient(*map(torch.func.debug_unwrap, narrow)),
                )
        return self._exact[1]

    def forward(self, weight: Tensor) -> Tensor:
        """The modulated weight."""
        if self.rule.mode == 'penalty':
            return weight
        with _full_precision(weight):
            if self.rule.mode == 'isometry':
                return (self.kappa * isometry(_norm_precision(weight))).to(weight.dtype)
            if self.training and self._is_unscaled(weight):
                return weight.view_as(weight)
            scale = scale_by_norm if self.training else scale_by_autograd
            return scale(weight, self.kappa, self.rule.mode, *self.norm(weight))

    def linear(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor | None:
        """In training W x + b with the modulated W, by scaling the output; `advance` included.

        Returns:
            (..., outputs), or None where the modulated weight must be built: in evaluation, under
            autocast, in half precision, and on devices where reading a number has to wait.
        """
        mode = self.rule.mode
        if not self.training or mode not in SCALING or not _can_scale_output(x, weight):
            return None
        norm, kappa = self._dense_norm(weight), self.kappa
        target = kappa if kappa.requires_grad else None
        scale = scaling_factor_float(mode, norm.sigma, kappa.item())
        if scale != 1 or mode == 'pin':
            return scaled_linear(x, weight, bias, target, scale, norm)
        y = functional.linear(x, weight, bias)
        return y if target is None else y + 0.0 * target

    def _is_unscaled(self, weight: Tensor) -> bool:
        """Whether the scale is the constant 1, where knowing so does not wait for a device."""
        mode, kappa = self.rule.mode, self.kappa
        if mode == 'pin' or weight.device.type != 'cpu' or kappa.requires_grad:
            return False
        return scaling_factor_float(mode, self.norm(weight).sigma.item(), kappa.item()) == 1

    def _dense_norm(self, weight: Tensor) -> DenseNorm:
        """What `advance` finds for a matrix."""
        key = _weight_version(weight)
        if self._trained is None or self._trained[0] != key:
            found = dense_norm(weight.detach(), self.right.to(weight.dtype))
            if found is None:
                self.update_norm(weight)
            else:
                self._buffers['right'], self._trained = found.right, (key, found)
                return found
        trained = cast(tuple[WeightVersion, NormWithGradient | DenseNorm], self._trained)[1]
        if isinstance(trained, DenseNorm):
            return trained
        return DenseNorm(trained.sigma.item(), trained.left[None], trained.right[None], 1.0)

    def right_inverse(self, weight: Tensor) -> Tensor:
        """Raw weight that an assignment to the layer's weight sets."""
        if self.rule.mode == 'isometry':
            return isometry(_norm_precision(weight.detach())).to(weight.dtype)
        return weight

    def excess(self, weight: Tensor) -> Tensor:
        """How far the norm is on the wrong side of κ, at least 0; differentiable."""
        side = 1.0 if self.rule.side == 'above' else -1.0
        with _full_precision(weight):
            spectrum = self.norm(weight)
            flat = _norm_precision(weight).reshape(len(spectrum.left), len(spectrum.right))
            sigma = spectrum.left @ flat @ spectrum.right
            return torch.relu(side * (sigma - self.kappa))

    def train(self, mode: bool = True) -> Self:
        """Forget the exact norm, so that weights exchanged behind autograd's back count."""
        self._exact = None
        return super().train(mode)

    def _input_size(self) -> tuple[int, ...] | None:
        if not self.initialized:
            raise LipfaultError(
                f'layer {self.name!r}: the norm of a convolution needs the input size; run one '
                'forward pass first or give the rule a size'
            )
        return tuple(self.right.shape[2:])

    def _operator(self, weight: Tensor) -> LinearOperator:
        return linear_operator(self._geometry[0], self._input_size(), weight)

    def _finite_operator(self, weight: Tensor, size: Sequence[int] | None) -> LinearOperator:
        """Operator of a weight that is known to be finite; errors name the layer."""
        try:
            require_finite(weight)
            return linear_operator(self._geometry[0], size, _norm_precision(weight.detach()))
        except LipfaultError as error:
            raise LipfaultError(f'layer {self.name!r}: {error}') from error

    def _estimate(self, weight: Tensor) -> NormWithGradient:
        """The norm that the stored singular vector gives; it is not changed."""
        with torch.no_grad():
            operator = self._operator(_norm_precision(weight.detach()))
            right, _ = normalize(self.right.to(operator.weight.dtype))
            left, sigma = normalize(operator.apply(right))
            return _norm_with_gradient(operator, SingularTriplet(sigma, left, right))

    def _load_from_state_dict(
        self,
        state_dict: dict[str, Any],
        prefix: str,
        *args: Any,  # noqa: ANN401
    ) -> None:
        """Take over the shape of the singular vector, which follows the input size."""
        saved = state_dict.get(prefix + 'right')
        if saved is not None and saved.shape != self.right.shape:
            self.right = self.right.new_empty(saved.shape)
        super()._load_from_state_dict(state_dict, prefix, *args)
        self._trained = self._exact = None

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        """Follow the layer to another device, but keep full precision."""
        self._trained = self._exact = None
        moved = super()._apply(lambda t: t.to(fn(t).device), recurse)  # type: ignore[no-untyped-call]
        return cast(Self, moved)


def _norm_precision(weight: Tensor) -> Tensor:
    """The weight in the precision that norms are computed in."""
    return weight if weight.dtype == torch.float64 else weight.float()


def _full_precision(weight: Tensor) -> AbstractContextManager[object]:
    kind = weight.device.type
    if torch.is_autocast_enabled(kind):
        return torch.autocast(kind, enabled=False)
    return nullcontext()


def _without_parameters(layer: nn.Module) -> nn.Module:
    """A layer of the same geometry without weight, buffers and hooks; never a submodule."""
    bare = nn.Module.__new__(type(layer))
    bare.__dict__.update(layer.__dict__)
    for name, value in layer.__dict__.items():
        if isinstance(value, dict):
            bare.__dict__[name] = type(value)()
    return bare


def _norm_with_gradient(operator: LinearOperator, triplet: SingularTriplet) -> NormWithGradient:
    left, right = operator.weight_gradient(triplet.left, triplet.right)
    sigma = triplet.sigma[0]
    return NormWithGradient(sigma.clamp_min(torch.finfo(sigma.dtype).tiny ** 0.5), left, right)


def _from_dense_norm(norm: DenseNorm) -> NormWithGradient:
    left = norm.left[0] * norm.factor
    return NormWithGradient(left.new_tensor(norm.sigma), left, norm.right[0])


def _can_scale_output(x: Tensor, weight: Tensor) -> bool:
    """Whether input and weight are in CPU memory, in one and the same full precision."""
    wide = weight.dtype in (torch.float32, torch.float64) and x.dtype == weight.dtype
    return wide and weight.device.type == 'cpu' and not torch.is_autocast_enabled('cpu')


def _weight_version(weight: Tensor) -> WeightVersion:
    """Changes whenever the weight is replaced or changed in place."""
    return weight.data_ptr(), 0 if weight.is_inference() else weight._version
