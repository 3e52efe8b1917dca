"""State of the modulation of one weight: target, singular vector, and what is saved of them."""

from collections.abc import Callable, Sequence
from typing import Any, Self, cast

import torch
from torch import Tensor, nn

from lipfault.errors import LipfaultError
from lipfault.lipschitz.modulation.estimates import (
    DenseNorm,
    NormWithGradient,
    norm_precision,
    without_parameters,
)
from lipfault.lipschitz.modulation.targets import LearnedTarget, ModulationRule, ScheduledTarget
from lipfault.lipschitz.norms.operators import LinearOperator, linear_operator, require_finite


class ModulationState(nn.Module):
    """Target κ and right singular vector of one weight.

    Args:
        layer: Layer on whose weight the parametrization will be registered.
        rule: Mode and target.
        name: Name of the layer, for error messages.
    """

    def __init__(self, layer: nn.Module, rule: ModulationRule, name: str) -> None:
        """Set the initial target.

        Args:
            layer: Layer on whose weight the parametrization will be registered.
            rule: Mode and target.
            name: Name of the layer, for error messages.
        """
        super().__init__()
        self.rule, self.name = rule, name
        # In a tuple, which nn.Module does not register as a submodule.
        self._geometry = (without_parameters(layer),)
        # Copies of the weights to which the norms belong, and the norms.
        self._trained: tuple[Tensor | None, NormWithGradient | DenseNorm] | None = None
        self._exact: tuple[Tensor, NormWithGradient] | None = None
        self._started: Tensor | None = None
        weight: Tensor = layer.weight  # type: ignore[assignment]
        empty = norm_precision(weight.detach()).new_empty(0)
        # Saved with the state, but no buffer: averages of modules copy buffers of equal shape.
        self.right = empty
        self._set_first_target(empty.new_zeros(()))

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
            return linear_operator(self._geometry[0], size, norm_precision(weight.detach()))
        except LipfaultError as error:
            raise LipfaultError(f'layer {self.name!r}: {error}') from error

    def _save_to_state_dict(self, destination: Any, prefix: str, keep_vars: bool) -> None:  # noqa: ANN401
        super()._save_to_state_dict(destination, prefix, keep_vars)
        destination[prefix + 'right'] = self.right

    def _load_from_state_dict(
        self,
        state_dict: dict[str, Any],
        prefix: str,
        local_metadata: dict[str, Any],
        strict: bool,
        missing_keys: list[str],
        unexpected_keys: list[str],
        error_msgs: list[str],
    ) -> None:
        """Adopt the saved singular vector, whose shape depends on the input size."""
        key, unknown = prefix + 'right', list(unexpected_keys)
        super()._load_from_state_dict(
            state_dict, prefix, local_metadata, strict, missing_keys, unexpected_keys, error_msgs
        )
        unexpected_keys[:] = [k for k in unexpected_keys if k != key or k in unknown]
        if key in state_dict:
            self.right = state_dict[key].detach().to(self.right, copy=True)
        elif strict:
            missing_keys.append(key)
        self._trained = self._exact = self._started = None

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        """Move to the layer's device, but keep full precision: `half()` converts the layer only."""
        self._trained = self._exact = self._started = None
        self.right = self.right.to(fn(self.right).device)
        moved = super()._apply(lambda t: t.to(fn(t).device), recurse)  # type: ignore[no-untyped-call]
        return cast(Self, moved)
