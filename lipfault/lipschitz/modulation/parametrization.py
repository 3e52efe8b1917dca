"""Parametrization that keeps the spectral norm of one weight at, below or above a target."""

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
from lipfault.lipschitz.norms.exact import exact_triplet
from lipfault.lipschitz.norms.krylov import (
    SingularTriplet,
    lanczos,
    normalize,
    power_step,
    start_vector,
)
from lipfault.lipschitz.norms.operators import LinearOperator, linear_operator, require_finite

START_STEPS, START_TOLERANCE = 60, 1e-3
"""Lanczos steps and relative growth of the start; the power iteration refines it in training."""

WeightVersion = tuple[int, int]
NEVER: WeightVersion = (0, -1)
"""Equal to no version of a weight, so the first forward pass takes a power iteration."""


class NormWithGradient(NamedTuple):
    """Norm σ of a weight and its gradient.

    Args:
        sigma: Norm, positive scalar.
        left: Vector; its outer product with `right`, reshaped, is ∂σ/∂weight.
        right: Vector, see `LinearOperator.weight_gradient`.
    """

    sigma: Tensor
    left: Tensor
    right: Tensor


class Modulation(nn.Module):
    """Parametrization of one weight: unscaled weight in, modulated weight out.

    In training the norm is an estimate from below by a warm-started power iteration, updated by
    the layer's forward pass only, once per change of the weight; in evaluation it is exact, a pure
    function of the weight. Norms are computed in float32 (float64 for a float64 weight) with
    autocast off.

    Args:
        layer: Layer on whose weight the parametrization will be registered.
        rule: Mode and target.
        name: Name of the layer, for error messages.

    Raises:
        LipfaultError: If the weight is empty, NaN or Inf, or zero where a scaling must raise its
            norm.

    Reference:
        Miyato et al. 2018, https://arxiv.org/abs/1802.05957;
        Altinses & Schwung 2026, https://arxiv.org/abs/2603.25103
    """

    right: Tensor

    def __init__(self, layer: nn.Module, rule: ModulationRule, name: str) -> None:
        """Set the initial target and, where the input size is known, the singular vectors.

        Args:
            layer: Layer on whose weight the parametrization will be registered.
            rule: Mode and target.
            name: Name of the layer, for error messages.

        Raises:
            LipfaultError: If the weight is empty, NaN or Inf, or zero where a scaling must raise
                its norm.
        """
        super().__init__()
        self.rule, self.name = rule, name
        # In a tuple, which nn.Module does not register as a submodule.
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
            # κ = low + (high − low) · sigmoid(logit)
            fraction = (target.first - target.low) / (target.high - target.low)
            self.logit = nn.Parameter(torch.logit(zero + fraction))
        elif isinstance(target, ScheduledTarget):
            self.register_buffer('fixed', zero + target.at(0.0))
        else:
            self.register_buffer('fixed', zero + float(target))

    @property
    def kappa(self) -> Tensor:
        """Current target κ, a scalar; differentiable if it is learned."""
        if isinstance(self.rule.target, LearnedTarget):
            low, high = self.rule.target.low, self.rule.target.high
            return low + (high - low) * torch.sigmoid(self.logit)
        fixed: Tensor = self.fixed  # type: ignore[assignment]
        return fixed

    def set_progress(self, progress: float) -> None:
        """Set a scheduled target to its value at a given progress of the training.

        Args:
            progress: Fraction of the training that is done, in [0, 1].
        """
        if isinstance(self.rule.target, ScheduledTarget):
            self.kappa.fill_(self.rule.target.at(progress))

    @property
    def initialized(self) -> bool:
        """Whether the input size is known and singular vectors are computed."""
        return self.right.numel() > 0

    def initialize(self, weight: Tensor, size: Sequence[int] | None) -> None:
        """Compute the singular vectors to start from, by Lanczos.

        Args:
            weight: Unscaled weight.
            size: Spatial input size; None for a dense layer.

        Raises:
            LipfaultError: If the weight is NaN or Inf, or zero where a scaling must raise its norm.
        """
        # Buffers made in inference mode could not be updated in training.
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
        """Take one power iteration if the weight has changed since the last one.

        Args:
            weight: Unscaled weight.

        Reference:
            One iteration per update of the weight: Miyato et al. 2018,
            https://arxiv.org/abs/1802.05957
        """
        if self._trained is not None and self._trained[0] == _weight_version(weight):
            return
        with torch.no_grad(), _full_precision(weight):
            operator = self._operator(_norm_precision(weight.detach()))
            start = self.right.to(operator.weight.dtype)
            triplet = power_step(operator.apply, operator.adjoint, start)
            self.right.copy_(triplet.right)
            self._trained = (_weight_version(weight), _norm_with_gradient(operator, triplet))

    def norm(self, weight: Tensor) -> NormWithGradient:
        """Return the norm of the unscaled weight and its gradient.

        Args:
            weight: Unscaled weight.

        Returns:
            In evaluation the exact norm, in training the last estimate from below.
        """
        if not self.training:
            return self.exact_norm(weight)
        if self._trained is None:
            self._trained = (NEVER, self._estimate(weight))
        found = self._trained[1]
        return _from_dense_norm(found) if isinstance(found, DenseNorm) else found

    def exact_norm(self, weight: Tensor) -> NormWithGradient:
        """Compute the exact norm of the unscaled weight; the training's estimate is kept.

        Args:
            weight: Unscaled weight.

        Returns:
            Norm and gradient, in the precision of norms of this weight, cached per version.

        Raises:
            LipfaultError: If the weight is NaN or Inf, or a convolution's input size is unknown.
        """
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
        """Compute the modulated weight.

        Args:
            weight: Unscaled weight.

        Returns:
            Weight of the same shape and dtype, differentiable in weight and learned target.
        """
        if self.rule.mode == 'penalty':
            return weight
        with _full_precision(weight):
            if self.rule.mode == 'isometry':
                return (self.kappa * isometry(_norm_precision(weight))).to(weight.dtype)
            if self.training and self._is_unscaled(weight):
                return weight.view_as(weight)
            # In evaluation the weight may be read inside a torch.func transform.
            scale = scale_by_norm if self.training else scale_by_autograd
            return scale(weight, self.kappa, self.rule.mode, *self.norm(weight))

    def linear(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor | None:
        """Apply a dense layer in training by scaling its output; includes `update_norm`.

        Args:
            x: Inputs, (..., inputs).
            weight: Unscaled weight, (outputs, inputs).
            bias: (outputs,) or None.

        Returns:
            W x + b with the modulated W, (..., outputs), or None where the modulated weight must
            be built: in evaluation, under autocast, in half precision, and on devices where
            reading a scalar synchronizes.
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
        # A gradient of 0 instead of None: DDP waits for every parameter.
        return y if target is None else y + 0.0 * target

    def _is_unscaled(self, weight: Tensor) -> bool:
        """Whether the scale is the constant 1, if that is known without synchronizing a device."""
        mode, kappa = self.rule.mode, self.kappa
        if mode == 'pin' or weight.device.type != 'cpu' or kappa.requires_grad:
            return False
        return scaling_factor_float(mode, self.norm(weight).sigma.item(), kappa.item()) == 1

    def _dense_norm(self, weight: Tensor) -> DenseNorm:
        """Return the norm of a matrix as of `update_norm`, with fewer operations."""
        key = _weight_version(weight)
        if self._trained is None or self._trained[0] != key:
            found = dense_norm(weight.detach(), self.right.to(weight.dtype))
            if found is None:
                self.update_norm(weight)
            else:
                # Past nn.Module.__setattr__, which costs as much as an operation.
                self._buffers['right'], self._trained = found.right, (key, found)
                return found
        trained = cast(tuple[WeightVersion, NormWithGradient | DenseNorm], self._trained)[1]
        if isinstance(trained, DenseNorm):
            return trained
        return DenseNorm(trained.sigma.item(), trained.left[None], trained.right[None], 1.0)

    def right_inverse(self, weight: Tensor) -> Tensor:
        """Return the unscaled weight that an assignment to the layer's weight sets.

        Args:
            weight: Assigned weight.

        Returns:
            Weight to store, of the same shape.
        """
        if self.rule.mode == 'isometry':
            return isometry(_norm_precision(weight.detach())).to(weight.dtype)
        return weight

    def excess(self, weight: Tensor) -> Tensor:
        """Compute by how much the norm violates the target, for the penalty.

        Args:
            weight: Unscaled weight.

        Returns:
            relu(σ − κ), or relu(κ − σ) for side `below`; scalar, differentiable.
        """
        side = 1.0 if self.rule.side == 'above' else -1.0
        with _full_precision(weight):
            norm = self.norm(weight)
            flat = _norm_precision(weight).reshape(len(norm.left), len(norm.right))
            # σ as a function of the weight, for its gradient.
            sigma = norm.left @ flat @ norm.right
            return torch.relu(side * (sigma - self.kappa))

    def train(self, mode: bool = True) -> Self:
        """Set the mode and drop the cached exact norm.

        Weights that were replaced through `.data` have no new version; `eval()` then recomputes
        their norm.

        Args:
            mode: Whether to set training mode.

        Returns:
            The parametrization itself.
        """
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
        """Return the operator of a finite weight; errors name the layer."""
        try:
            require_finite(weight)
            return linear_operator(self._geometry[0], size, _norm_precision(weight.detach()))
        except LipfaultError as error:
            raise LipfaultError(f'layer {self.name!r}: {error}') from error

    def _estimate(self, weight: Tensor) -> NormWithGradient:
        """Estimate the norm by the stored singular vector, which is not changed."""
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
        """Adopt the shape of the saved singular vector, which depends on the input size."""
        saved = state_dict.get(prefix + 'right')
        if saved is not None and saved.shape != self.right.shape:
            self.right = self.right.new_empty(saved.shape)
        super()._load_from_state_dict(state_dict, prefix, *args)
        self._trained = self._exact = None

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        """Move to the layer's device, but keep full precision: `half()` converts the layer only."""
        self._trained = self._exact = None
        moved = super()._apply(lambda t: t.to(fn(t).device), recurse)  # type: ignore[no-untyped-call]
        return cast(Self, moved)


def _norm_precision(weight: Tensor) -> Tensor:
    """Return the weight in the precision in which norms are computed."""
    return weight if weight.dtype == torch.float64 else weight.float()


def _full_precision(weight: Tensor) -> AbstractContextManager[object]:
    kind = weight.device.type
    if torch.is_autocast_enabled(kind):
        return torch.autocast(kind, enabled=False)
    return nullcontext()


def _without_parameters(layer: nn.Module) -> nn.Module:
    """Return a layer of the same geometry without parameters, buffers and hooks."""
    bare = nn.Module.__new__(type(layer))
    bare.__dict__.update(layer.__dict__)
    for name, value in layer.__dict__.items():
        if isinstance(value, dict):
            bare.__dict__[name] = type(value)()
    return bare


def _norm_with_gradient(operator: LinearOperator, triplet: SingularTriplet) -> NormWithGradient:
    left, right = operator.weight_gradient(triplet.left, triplet.right)
    sigma = triplet.sigma[0]
    # κ/σ stays finite for a weight of zero.
    return NormWithGradient(sigma.clamp_min(torch.finfo(sigma.dtype).tiny ** 0.5), left, right)


def _from_dense_norm(norm: DenseNorm) -> NormWithGradient:
    left = norm.left[0] * norm.factor
    return NormWithGradient(left.new_tensor(norm.sigma), left, norm.right[0])


def _can_scale_output(x: Tensor, weight: Tensor) -> bool:
    """Whether input and weight are in CPU memory and of the same full precision."""
    wide = weight.dtype in (torch.float32, torch.float64) and x.dtype == weight.dtype
    return wide and weight.device.type == 'cpu' and not torch.is_autocast_enabled('cpu')


def _weight_version(weight: Tensor) -> WeightVersion:
    """Return a key that changes whenever the weight is replaced or changed in place."""
    return weight.data_ptr(), 0 if weight.is_inference() else weight._version
