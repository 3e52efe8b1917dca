"""Parametrization that keeps the spectral norm of one weight at, below or above a target."""

from collections.abc import Sequence
from typing import Any, Self, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from lipfault.errors import LipfaultError
from lipfault.lipschitz.modulation.content import copy_content, is_replaced, same_content
from lipfault.lipschitz.modulation.estimates import (
    START_STEPS,
    START_TOLERANCE,
    DenseNorm,
    NormWithGradient,
    can_branch,
    from_dense_norm,
    full_precision,
    in_transform,
    is_aligned,
    norm_precision,
    norm_with_gradient,
    restarted,
)
from lipfault.lipschitz.modulation.exact_operator import exact_norm_operator, held
from lipfault.lipschitz.modulation.isometry import isometry
from lipfault.lipschitz.modulation.scaled_linear import dense_norm, scaled_linear
from lipfault.lipschitz.modulation.scaling import (
    scale_by_autograd,
    scale_by_norm,
    scaling_factor_float,
)
from lipfault.lipschitz.modulation.singular import norm_at
from lipfault.lipschitz.modulation.state import ModulationState
from lipfault.lipschitz.modulation.targets import (
    SCALING,
    ModulationRule,
)
from lipfault.lipschitz.norms.exact import exact_triplet
from lipfault.lipschitz.norms.krylov import (
    SingularTriplet,
    lanczos,
    normalize,
    power_step,
    start_vector,
)


class Modulation(ModulationState):
    """Parametrization of one weight: unscaled weight in, modulated weight out.

    In training the norm is an estimate from below by a warm-started power iteration, updated by
    the layer's forward pass only, once per change of the weight's content; in evaluation and inside
    `torch.func` transforms it is exact, a pure function of the weight. Norms are computed in
    float32 (float64 for a float64 weight) with autocast off.

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
        super().__init__(layer, rule, name)
        self._handle = held(self)
        weight: Tensor = layer.weight  # type: ignore[assignment]
        if isinstance(layer, nn.Linear) or rule.size is not None:
            self.initialize(weight, rule.size)

    def initialize(self, weight: Tensor, size: Sequence[int] | None) -> None:
        """Compute the singular vectors to start from, by Lanczos.

        Args:
            weight: Unscaled weight.
            size: Spatial input size; None for a dense layer.

        Raises:
            LipfaultError: If the weight is NaN or Inf, or zero where a scaling must raise its norm.
        """
        # Buffers made in inference mode could not be updated in training.
        with torch.inference_mode(False), torch.no_grad(), full_precision(weight):
            operator = self._finite_operator(weight, size)
            start = start_vector(operator.in_shape, operator.weight)
            triplet = lanczos(operator.apply, operator.adjoint, start, START_STEPS, START_TOLERANCE)
            if self.rule.mode in ('pin', 'floor') and not bool(triplet.sigma > 0):
                raise LipfaultError(
                    f'layer {self.name!r}: its weight is zero, no scaling can give it a norm; '
                    'initialize it or use cap'
                )
            self.right = triplet.right.clone()
            # Kept apart from the norm: the first forward pass takes a power iteration.
            self._started = copy_content(weight, None)
            self._trained = (None, norm_with_gradient(operator, triplet))

    def adapt(self, weight: Tensor, size: Sequence[int]) -> None:
        """Let the norm cover an input size: the largest of all so far.

        With zero padding a smaller input is a larger one with zeros, so its norm is at most that at
        the larger size.

        Args:
            weight: Unscaled weight of a convolution.
            size: Spatial size of an input.

        Raises:
            LipfaultError: If another padding meets a second size, or the first size comes inside a
                transform.
        """
        known = tuple(self.right.shape[2:]) if self.initialized else None
        if known == tuple(size):
            return
        new = known is None or any(n > k for n, k in zip(size, known, strict=True))
        if new and (torch.compiler.is_compiling() or in_transform()):
            raise LipfaultError(
                f'layer {self.name!r}: the input size {tuple(size)} is new; run one plain forward '
                'pass of that size before torch.compile or torch.func'
            )
        mode = getattr(self._geometry[0], 'padding_mode', 'zeros')
        if known is not None and mode != 'zeros':
            raise LipfaultError(
                f'layer {self.name!r}: its norm is modulated at input size {known}, got '
                f'{tuple(size)}; with padding_mode {mode!r} the norms of two sizes are not '
                'comparable: use one size, or zero padding'
            )
        largest = tuple(size) if known is None else tuple(map(max, size, known))
        if largest != known:
            self._exact = None
            self.initialize(weight, largest)

    def update_norm(self, weight: Tensor) -> None:
        """Take one power iteration if the weight has changed since the last one.

        Args:
            weight: Unscaled weight.

        Reference:
            One iteration per update of the weight: Miyato et al. 2018,
            https://arxiv.org/abs/1802.05957
        """
        if in_transform():
            return
        if not can_branch(weight):
            self._update_without_branch(weight.detach())
            return
        seen = None if self._trained is None else self._trained[0]
        if same_content(weight, seen):
            return
        self._start_anew(weight, seen)
        with torch.no_grad(), full_precision(weight):
            operator = self._operator(norm_precision(weight.detach()))
            start = self.right.to(operator.weight.dtype)
            triplet = power_step(operator.apply, operator.adjoint, start)
            replaced = is_replaced(weight, self._started if seen is None else seen)
            if replaced or not is_aligned(start, triplet.right):
                triplet = restarted(operator, triplet)
            self.right.copy_(triplet.right)
            self._trained = (copy_content(weight, seen), norm_with_gradient(operator, triplet))
            self._started = None

    def _start_anew(self, weight: Tensor, seen: Tensor | None) -> None:
        """Start by a weight that was exchanged before the first forward pass, as on all ranks."""
        if seen is not None or not is_replaced(weight, self._started):
            return
        with torch.inference_mode(False), torch.no_grad(), full_precision(weight):
            operator = self._operator(norm_precision(weight.detach()))
            start = start_vector(operator.in_shape, operator.weight)
            triplet = lanczos(operator.apply, operator.adjoint, start, START_STEPS, START_TOLERANCE)
            if bool(triplet.sigma > 0):  # else it is below the range of its precision
                self.right, self._started = triplet.right.clone(), copy_content(weight, None)

    def _update_without_branch(self, weight: Tensor) -> None:
        """Take a power iteration, and keep the last one where the content is the same.

        Without control flow on values: for compiled code, and devices that it would synchronize.
        """
        with torch.no_grad(), full_precision(weight):
            operator = self._operator(norm_precision(weight))
            start = self.right.to(operator.weight.dtype)
            triplet = power_step(operator.apply, operator.adjoint, start)
            found = norm_with_gradient(operator, triplet)
            if self._trained is None or self._trained[0] is None:
                right, self._trained = triplet.right, (weight.clone(), found)
            else:
                seen, kept = self._trained
                kept = from_dense_norm(kept) if isinstance(kept, DenseNorm) else kept
                changed = torch.ne(weight, cast(Tensor, seen)).any()
                right = torch.where(changed, triplet.right, start)
                parts = (torch.where(changed, a, b) for a, b in zip(found, kept, strict=True))
                self._trained = (weight.clone(), NormWithGradient(*parts))
            self.right = right.to(self.right.dtype)

    def norm(self, weight: Tensor) -> NormWithGradient:
        """Return the norm of the unscaled weight and its gradient.

        Args:
            weight: Unscaled weight.

        Returns:
            In evaluation the exact norm, in training the last estimate from below.
        """
        if not self.training or in_transform():
            return self.exact_norm(weight)
        if self._trained is None:
            self._trained = (None, self._estimate(weight))
        found = self._trained[1]
        return from_dense_norm(found) if isinstance(found, DenseNorm) else found

    def exact_norm(self, weight: Tensor) -> NormWithGradient:
        """Compute the exact norm of the unscaled weight; the training's estimate is kept.

        Args:
            weight: Unscaled weight.

        Returns:
            Norm and gradient, in the precision of norms of this weight, cached per version.

        Raises:
            LipfaultError: If the weight is NaN or Inf, or a convolution's input size is unknown.
        """
        if torch.compiler.is_compiling() or in_transform():
            return NormWithGradient(*exact_norm_operator(weight.detach(), self._handle))
        if self._exact is None or not same_content(weight, self._exact[0]):
            with torch.inference_mode(False), torch.no_grad(), full_precision(weight):
                operator = self._finite_operator(weight.double(), self._input_size())
                found = norm_with_gradient(operator, exact_triplet(operator))
                narrow = (part.to(norm_precision(weight).dtype) for part in found)
                self._exact = (weight.detach().clone(), NormWithGradient(*narrow))
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
        with full_precision(weight):
            if self.rule.mode == 'isometry':
                return (self.kappa * isometry(norm_precision(weight))).to(weight.dtype)
            if self.training and self._is_unscaled(weight):
                return weight.view_as(weight)
            if torch.compiler.is_exporting():
                raise LipfaultError(
                    f'layer {self.name!r}: a modulated weight cannot be exported; fold() a copy of '
                    'the module and export that'
                )
            # In evaluation the weight may be read inside a torch.func transform.
            scale = scale_by_norm if self.training and can_branch(weight) else scale_by_autograd
            wide = norm_precision(weight)
            scaled = scale(wide, self.kappa, self.rule.mode, *self.norm(weight))
            if not self.training and weight.dtype != wide.dtype:
                scaled = scaled * self._shrinkage(scaled.detach(), weight.dtype)
            return scaled.to(weight.dtype)

    def _shrinkage(self, scaled: Tensor, dtype: torch.dtype) -> float:
        """Return the factor at most 1 by which a cap holds after rounding to half precision."""
        factor = 1.0
        if self.rule.mode != 'cap' or not self.initialized:
            return factor
        for _ in range(8):
            rounded = (scaled * factor).to(dtype).double()
            norm = float(exact_triplet(self._operator(rounded)).sigma)
            if norm <= float(self.kappa):
                break
            # 1e-4: a step that rounding cannot undo again and again.
            factor *= float(self.kappa) / norm * (1 - 1e-4)
        return factor

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
        if mode == 'pin' or not can_branch(weight) or kappa.requires_grad:
            return False
        return scaling_factor_float(mode, self.norm(weight).sigma.item(), kappa.item()) == 1

    def _dense_norm(self, weight: Tensor) -> DenseNorm:
        """Return the norm of a matrix as of `update_norm`, with fewer operations."""
        seen = None if self._trained is None else self._trained[0]
        if not same_content(weight, seen):
            self._start_anew(weight, seen)
            start = self.right.to(weight.dtype)
            replaced = is_replaced(weight, self._started if seen is None else seen)
            found = None if replaced else dense_norm(weight.detach(), start)
            if found is None or not is_aligned(start, found.right):
                self.update_norm(weight)
            else:
                # Past nn.Module.__setattr__, which costs as much as an operation.
                self.__dict__['right'] = found.right
                self.__dict__['_trained'] = (copy_content(weight, seen), found)
                self.__dict__['_started'] = None
                return found
        trained = cast(tuple[Tensor, NormWithGradient | DenseNorm], self._trained)[1]
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
            return isometry(norm_precision(weight.detach())).to(weight.dtype)
        return weight

    def excess(self, weight: Tensor) -> Tensor:
        """Compute by how much the norm violates the target, for the penalty.

        Args:
            weight: Unscaled weight.

        Returns:
            relu(σ − κ), or relu(κ − σ) for side `below`; scalar, differentiable.
        """
        side = 1.0 if self.rule.side == 'above' else -1.0
        with full_precision(weight):
            norm = self.norm(weight)
            flat = norm_precision(weight)
            # σ as a function of the weight, for its gradient.
            sigma = norm_at(flat, norm.left, norm.right)
            return torch.relu(side * (sigma - self.kappa))

    def train(self, mode: bool = True) -> Self:
        """Set the mode and drop the cached exact norm, which holds a copy of the weight.

        Args:
            mode: Whether to set training mode.

        Returns:
            The parametrization itself.
        """
        self._exact = None
        return super().train(mode)

    def _estimate(self, weight: Tensor) -> NormWithGradient:
        """Estimate the norm by the stored singular vector, which is not changed."""
        with torch.no_grad():
            operator = self._operator(norm_precision(weight.detach()))
            right, _ = normalize(self.right.to(operator.weight.dtype))
            left, sigma = normalize(operator.apply(right))
            return norm_with_gradient(operator, SingularTriplet(sigma, left, right))

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Restore a copy, with a number of its own."""
        super().__setstate__(state)  # type: ignore[no-untyped-call]
        self._handle = held(self)


def _can_scale_output(x: Tensor, weight: Tensor) -> bool:
    """Whether input and weight are in CPU memory and of the same full precision."""
    wide = weight.dtype in (torch.float32, torch.float64) and x.dtype == weight.dtype
    return wide and can_branch(weight) and not torch.is_autocast_enabled('cpu')
