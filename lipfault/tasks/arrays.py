"""Checked conversion of a user's arrays to the signals of a model."""

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lipfault.errors import LipfaultError
from lipfault.modality import Modality, Signals

FAR_OUT = 0.01
"""Share of values outside the physical range from which a warning is given: noise at the ends of
the range is rarer."""


@dataclass(frozen=True)
class Arrays:
    """A user's arrays as signals of a model.

    Args:
        signals: Signals of all modalities, (batch, ...) float32; NaN where a value is missing.
        missing: Share of missing values of each modality that has any, in (0, 1].
        is_single: Whether the arrays were one window without a batch dimension.
        is_torch: Whether any of them was a torch tensor.
    """

    signals: Signals
    missing: dict[str, float]
    is_single: bool
    is_torch: bool


def to_signals(
    arrays: Mapping[str, Any],
    modalities: Mapping[str, Modality],
    steps: Mapping[str, int],
    device: torch.device,
) -> Arrays:
    """Check arrays and convert them to signals.

    Args:
        arrays: Arrays by modality: series (channel, time) or (batch, channel, time) in physical
            units, images (channel, height, width) or (batch, channel, height, width) in [0, 1] or
            uint8. NaN marks missing values; an absent modality is missing as a whole.
        modalities: Description of each modality of the model.
        steps: Length of the window of each series, in samples.
        device: Device of the signals.

    Returns:
        The signals, with what was missing.

    Raises:
        LipfaultError: If a name, shape, dtype or value does not fit, with what would.
    """
    _require_names(arrays, modalities)
    shapes = {n: (len(m.channels), *(m.size or (steps[n],))) for n, m in modalities.items()}
    given = {n: _tensor(modalities[n], x).to(device) for n, x in arrays.items()}
    single = {n: _is_single(modalities[n], x, shapes[n]) for n, x in given.items()}
    if len(set(single.values())) > 1:
        raise LipfaultError(
            'give all arrays with a batch dimension or none; these have one: '
            f'{sorted(n for n, alone in single.items() if not alone)}'
        )
    is_single = next(iter(single.values()))
    given = {n: _without_infinity(n, x[None] if is_single else x) for n, x in given.items()}
    sizes = {n: len(x) for n, x in given.items()}
    if len(set(sizes.values())) > 1 or 0 in sizes.values():
        raise LipfaultError(
            f'all arrays must hold the same number of windows, at least one; got {sizes}'
        )
    _check_values(given, modalities)
    count = next(iter(sizes.values()))
    signals = {
        n: given[n] if n in given else torch.full((count, *shapes[n]), torch.nan, device=device)
        for n in modalities
    }
    shares = {n: float(x.isnan().float().mean()) for n, x in signals.items()}
    is_torch = any(isinstance(x, Tensor) for x in arrays.values())
    return Arrays(signals, {n: s for n, s in shares.items() if s}, is_single, is_torch)


def _require_names(arrays: Mapping[str, Any], modalities: Mapping[str, Modality]) -> None:
    """Refuse unknown modalities; warn of absent ones."""
    if not isinstance(arrays, Mapping):
        raise LipfaultError(
            f'give a dictionary of arrays by modality, {list(modalities)}; got '
            f'{type(arrays).__name__}'
        )
    unknown = [n for n in arrays if n not in modalities]
    if unknown:
        raise LipfaultError(
            f'unknown modality {unknown[0]!r}: the model has {", ".join(map(repr, modalities))}'
        )
    if not arrays:
        raise LipfaultError(f'give at least one modality of {", ".join(map(repr, modalities))}')
    absent = [n for n in modalities if n not in arrays]
    if absent:
        warnings.warn(
            f'{", ".join(map(repr, absent))}: no array given, treated as missing', stacklevel=4
        )


def _tensor(modality: Modality, array: Any) -> Tensor:  # noqa: ANN401
    """The array as float32, an image of uint8 scaled to [0, 1]."""
    try:
        tensor = array.detach() if isinstance(array, Tensor) else torch.as_tensor(np.asarray(array))
    except (TypeError, ValueError, RuntimeError) as error:
        raise LipfaultError(
            f'modality {modality.name!r}: give an array of numbers, got '
            f'{type(array).__name__} ({error})'
        ) from error
    if tensor.dtype == torch.bool or tensor.is_complex():
        raise LipfaultError(
            f'modality {modality.name!r}: give real numbers (float32, or uint8 for an image), got '
            f'{tensor.dtype}'
        )
    if modality.kind == 'image' and not tensor.is_floating_point():
        if tensor.dtype != torch.uint8:
            raise LipfaultError(
                f'image {modality.name!r}: give uint8 in 0 to 255, or float in [0, 1]; got '
                f'{tensor.dtype}'
            )
        return tensor.float() / 255
    return tensor.float()


def _is_single(modality: Modality, tensor: Tensor, shape: tuple[int, ...]) -> bool:
    """Whether a tensor is one window without a batch dimension; refuses other shapes."""
    if tensor.shape == shape:
        return True
    if tensor.dim() == len(shape) + 1 and tensor.shape[1:] == shape:
        return False
    axes = '(channel, time)' if modality.kind == 'series' else '(channel, height, width)'
    raise LipfaultError(
        f'{modality.kind} {modality.name!r}: expected {shape} {axes}, or with a batch dimension '
        f'before it; got {tuple(tensor.shape)}{_hint(modality, tensor, shape)}'
    )


def _hint(modality: Modality, tensor: Tensor, shape: tuple[int, ...]) -> str:
    """The likely reason of a wrong shape."""
    own = tuple(tensor.shape[-len(shape) :])
    if own[-1:] + own[:-1] == shape:
        return (
            '; the channels are last: move them to the front (np.moveaxis(x, -1, -3))'
            if (modality.kind == 'image')
            else '; time and channels are exchanged: transpose the array'
        )
    if modality.kind == 'series' and own[:-1] == shape[:-1]:
        seconds = shape[-1] / modality.rate_hz
        return (
            f'; the model takes {seconds:g} s at {modality.rate_hz:g} Hz, that is {shape[-1]} '
            f'samples (if these are {seconds:g} s at {own[-1] / seconds:g} Hz, resample them)'
        )
    if own[:1] != shape[:1]:
        return f'; the channels are {", ".join(modality.channels)}'
    return ''


def _without_infinity(name: str, signal: Tensor) -> Tensor:
    """The signal with infinite values missing; warns of them."""
    infinite = signal.isinf()
    if not bool(infinite.any()):
        return signal
    warnings.warn(f'modality {name!r}: infinite values, treated as missing', stacklevel=4)
    return signal.masked_fill(infinite, torch.nan)


def _check_values(signals: Signals, modalities: Mapping[str, Modality]) -> None:
    """Refuse images in 0 to 255; warn of values outside the range."""
    for name, signal in signals.items():
        modality = modalities[name]
        low, high = (
            torch.tensor(end, device=signal.device).view(-1, *[1] * (signal.dim() - 2))
            for end in (modality.low, modality.high)
        )
        if modality.kind == 'image' and float(signal.nan_to_num(0.0).max()) > 2 * max(
            modality.high
        ):
            raise LipfaultError(
                f'image {name!r}: values up to {float(signal.nan_to_num(0.0).max()):g}; give float '
                'in [0, 1], or uint8 in 0 to 255'
            )
        outside = ((signal < low) | (signal > high)).transpose(0, 1).flatten(1).float().mean(dim=1)
        far = [c for c, s in zip(modality.channels, outside.tolist(), strict=True) if s > FAR_OUT]
        if far:
            warnings.warn(
                f'modality {name!r}: values of {", ".join(far)} lie outside the physical range of '
                'the training data; check the units',
                stacklevel=5,
            )
