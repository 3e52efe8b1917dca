"""Layer-specific Lipschitz modulation: spectral norms capped, pinned, floored or penalized.

`modulate` registers a parametrization on the weight of every layer that a pattern selects. In
training the norm is estimated from below by a warm-started power iteration, one step per change of
the weight, in the layer's own forward pass and nowhere else: reading a weight changes nothing. In
evaluation the norm is exact, a pure function of the weight. See docs/theory.md, section 8.

Reference: Altinses & Schwung 2026, https://arxiv.org/abs/2603.25103
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils import parametrize

from lipfault.errors import LipfaultError
from lipfault.lipschitz.modulation.isometry import require_isometry
from lipfault.lipschitz.modulation.parametrization import Modulation
from lipfault.lipschitz.modulation.scaling import scaling_factor
from lipfault.lipschitz.modulation.targets import Mode, ModulationRule
from lipfault.lipschitz.norms.operators import LINEAR_LAYERS, PLAIN_FORWARDS


@dataclass(frozen=True)
class ModulatedLayer:
    """Layer with a modulated weight.

    Args:
        name: Name of the layer inside the module given to `modulate`.
        layer: Dense or convolutional layer.
        modulation: Parametrization on its weight.
    """

    name: str
    layer: nn.Module
    modulation: Modulation

    @property
    def raw(self) -> Tensor:
        """Unscaled weight, shaped as the weight: the parameter that the optimizer updates."""
        original: Tensor = self.layer.parametrizations.weight.original  # type: ignore[union-attr,assignment]
        return original


def modulate(
    module: nn.Module, rules: Mapping[str, ModulationRule | Mapping[str, Any]]
) -> list[ModulatedLayer]:
    """Modulate the layers of a module in place; call it before the optimizer is built.

    Args:
        module: Any module.
        rules: Modulation by glob pattern on the names of dense and convolutional submodules, as a
            `ModulationRule` or its plain form. `*` also matches dots and the empty name of the
            module itself. Of several patterns that match a layer the first applies.

    Returns:
        Modulated layers, in the order of the submodules.

    Raises:
        LipfaultError: If a pattern matches no layer or applies to none, if a weight is already
            parametrized, tied, empty or NaN, or zero where a scaling must raise its norm.

    Reference:
        Spectral normalization: Miyato et al. 2018, https://arxiv.org/abs/1802.05957;
        caps: Gouk et al. 2021, https://arxiv.org/abs/1804.04368;
        targets per layer: Altinses & Schwung 2026, https://arxiv.org/abs/2603.25103

    Example:
        >>> net = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))
        >>> [m.name for m in modulate(net, {'2': {'mode': 'cap', 'target': 1.0}})]
        ['2']
    """
    parsed = {pattern: ModulationRule.parse(rule) for pattern, rule in rules.items()}
    chosen = _select(module, parsed)
    for name, layer, _ in chosen:
        _refuse_tied(module, name, layer)
    return [_modulate_layer(name, layer, parsed[pattern]) for name, layer, pattern in chosen]


def modulated(module: nn.Module) -> Iterator[ModulatedLayer]:
    """Iterate over the modulated layers of a module.

    Args:
        module: Any module.

    Yields:
        Modulated layers, in the order of the submodules.
    """
    for name, layer in module.named_modules():
        if parametrize.is_parametrized(layer, 'weight'):
            for part in layer.parametrizations.weight:
                if isinstance(part, Modulation):
                    yield ModulatedLayer(name, layer, part)


def set_progress(module: nn.Module, progress: float) -> None:
    """Set all scheduled targets to their value at a given progress of the training.

    Args:
        module: Any module.
        progress: Fraction of the training that is done, in [0, 1].
    """
    for entry in modulated(module):
        entry.modulation.set_progress(progress)


def penalty(module: nn.Module) -> Tensor:
    """Compute the loss term Σ w relu(σ − κ)² over the layers in penalty mode.

    With `side: below` the term is w relu(κ − σ)². In training σ is an estimate from below, in
    evaluation exact.

    Args:
        module: Any module.

    Returns:
        Float32 scalar with gradient, also under autocast; 0 without such layers.

    Reference:
        Spectral norm regularization: Yoshida & Miyato 2017, https://arxiv.org/abs/1705.10941
    """
    terms = [
        entry.modulation.rule.weight * entry.modulation.excess(entry.raw).square()
        for entry in modulated(module)
        if entry.modulation.rule.mode == 'penalty'
    ]
    if terms:
        return torch.stack(terms).sum()
    some = next(module.parameters(), None)
    return torch.zeros((), device=None if some is None else some.device)


def fold(module: nn.Module) -> nn.Module:
    """Replace every modulated layer by a plain one with the same outputs, in place.

    The outputs are those of evaluation mode, by the exact norm.

    Args:
        module: Any module; fold a deep copy to keep the original modulated.

    Returns:
        The module itself.
    """
    for entry in list(modulated(module)):
        training = entry.layer.training
        entry.layer.eval()
        _own_class(entry.layer)
        parametrize.remove_parametrizations(entry.layer, 'weight', leave_parametrized=True)
        entry.layer.train(training)
        _remove_hook(entry.layer)
    return module


@dataclass(frozen=True)
class ModulationRecord:
    """Target and norms of one modulated layer.

    Args:
        name: Name of the layer.
        mode: Mode of its rule.
        target: Current target κ.
        raw: Exact norm of the unscaled weight at the recorded input size.
        norm: Exact norm of the modulated weight.
    """

    name: str
    mode: Mode
    target: float
    raw: float
    norm: float


def modulation_report(module: nn.Module) -> list[ModulationRecord]:
    """Compute the exact norms of all modulated layers beside their targets.

    The state of the power iterations is not changed. For `isometry` all singular values equal κ by
    construction, and `norm` is κ.

    Args:
        module: Any module; its convolutions must have had one forward pass.

    Returns:
        Records, in the order of the submodules.

    Raises:
        LipfaultError: If the input size of a convolution is unknown, or a weight is NaN or Inf.
    """
    return [_layer_record(entry) for entry in modulated(module)]


@torch.no_grad()
def _layer_record(entry: ModulatedLayer) -> ModulationRecord:
    modulation = entry.modulation
    raw, kappa = modulation.exact_norm(entry.raw).sigma, modulation.kappa
    mode = modulation.rule.mode
    if mode == 'penalty':
        norm = raw
    elif mode == 'isometry':
        norm = kappa
    else:
        norm = raw * scaling_factor(mode, raw, kappa)
    return ModulationRecord(entry.name, mode, float(kappa), float(raw), float(norm))


def _select(
    module: nn.Module, rules: Mapping[str, ModulationRule]
) -> list[tuple[str, nn.Module, str]]:
    """Return (name, layer, pattern) of every layer to which a pattern applies."""
    layers = [
        (name, layer)
        for name, layer in module.named_modules(remove_duplicate=False)
        if isinstance(layer, LINEAR_LAYERS)
    ]
    chosen: dict[int, tuple[str, nn.Module, str]] = {}
    for name, layer in layers:
        pattern = next((p for p in rules if fnmatchcase(name, p)), None)
        # By identity: a layer that is registered under two names is modulated once.
        if pattern is not None:
            chosen.setdefault(id(layer), (name, layer, pattern))
    applied = {pattern for _, _, pattern in chosen.values()}
    for pattern in rules:
        if not any(fnmatchcase(name, pattern) for name, _ in layers):
            known = ', '.join(repr(name) for name, _ in layers) or 'none'
            raise LipfaultError(
                f'pattern {pattern!r} matches no dense or convolutional layer; there are {known}'
            )
        if pattern not in applied:
            raise LipfaultError(
                f'pattern {pattern!r} applies to no layer: earlier patterns match all its layers'
            )
    return list(chosen.values())


def _refuse_tied(module: nn.Module, name: str, layer: nn.Module) -> None:
    for other, part in module.named_modules():
        if part is not layer and any(p is layer.weight for p in part._parameters.values()):
            raise LipfaultError(
                f'layer {name!r}: its weight is tied to layer {other!r}; modulating one would '
                'leave the other as it is'
            )


def _modulate_layer(name: str, layer: nn.Module, rule: ModulationRule) -> ModulatedLayer:
    if parametrize.is_parametrized(layer, 'weight'):
        raise LipfaultError(f'layer {name!r}: its weight is already parametrized')
    if isinstance(layer, nn.modules.linear.NonDynamicallyQuantizableLinear):
        raise LipfaultError(
            f'layer {name!r}: attention uses this weight without calling the layer, '
            'so it cannot be modulated'
        )
    if rule.mode == 'isometry':
        require_isometry(name, layer)
    modulation = Modulation(layer, rule, name)
    modulation.train(layer.training)
    # unsafe: the check would read the weight of a convolution before its input size is known.
    parametrize.register_parametrization(layer, 'weight', modulation, unsafe=True)
    # Registering gave the layer a class of its own, so this forward belongs to it alone.
    if type(layer).forward is nn.Linear.forward:
        type(layer).forward = _dense_forward
    else:
        layer.register_forward_pre_hook(_before_forward, with_kwargs=True)
    return ModulatedLayer(name, layer, modulation)


def _dense_forward(layer: nn.Linear, input: Tensor) -> Tensor:
    """Forward pass of a modulated `nn.Linear`, by scaling the output where that is possible."""
    # Not through the accessors of nn.Module, which cost as much as an operation on a small tensor.
    # FSDP1 keeps the weight as an attribute that is no parameter.
    chain = layer._modules['parametrizations']._modules['weight']  # type: ignore[union-attr]
    parts, original = chain._modules, chain._parameters.get('original')  # type: ignore[union-attr]
    if layer.training and len(parts) == 1 and original is not None:
        y = cast(Modulation, parts['0']).linear(input, original, layer.bias)
        if y is not None:
            return y
    _update_norms(layer)
    return functional.linear(input, layer.weight, layer.bias)


PLAIN_FORWARDS.add(_dense_forward)


def _own_class(layer: nn.Module) -> None:
    """Give the layer a class of its own: a deep copy shares it with its original.

    Removing a parametrization changes the class, and would fold the original, too.
    """
    shared = type(layer)
    attributes = {k: v for k, v in vars(shared).items() if k not in ('__dict__', '__weakref__')}
    layer.__class__ = type(shared.__name__, shared.__bases__, attributes)


def _remove_hook(layer: nn.Module) -> None:
    for key, hook in list(layer._forward_pre_hooks.items()):
        if hook is _before_forward:
            del layer._forward_pre_hooks[key]
            layer._forward_pre_hooks_with_kwargs.pop(key, None)


def _before_forward(layer: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    """Record the largest input size of a convolution; update the norm in training."""
    _update_norms(layer, args[0] if args else kwargs['input'])


def _update_norms(layer: nn.Module, x: Tensor | None = None) -> None:
    chain = layer.parametrizations.weight  # type: ignore[union-attr]
    weight: Tensor = chain.original  # type: ignore[union-attr,assignment]
    for part in chain:  # type: ignore[union-attr]
        if isinstance(part, Modulation):
            # Spatial axes of (batch, channel, *size); a kernel has two axes more than the size.
            if x is not None and weight.ndim > 2 and part.rule.mode != 'isometry':
                part.adapt(weight, x.shape[2 - weight.ndim :])
            if layer.training and part.rule.mode != 'isometry':
                part.update_norm(weight)
