"""Checks of the batches that an engine receives."""

from collections.abc import Collection, Mapping

import torch
from torch import Tensor

from lipfault.errors import LipfaultError
from lipfault.faults.collection import unknown
from lipfault.faults.fault import AnyFault
from lipfault.modality import Modality

_INTEGERS = (torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8)


def require_ids(sample_id: Tensor) -> Tensor:
    """Convert sample ids to int64 on the CPU.

    Args:
        sample_id: (batch,) of an integer type.

    Returns:
        (batch,) int64.

    Raises:
        LipfaultError: If the ids are no integers, or of another shape.
    """
    if not isinstance(sample_id, Tensor):
        raise LipfaultError(f'faults: sample_id must be a tensor, got {type(sample_id).__name__}')
    if sample_id.ndim != 1 or sample_id.dtype not in _INTEGERS:
        raise LipfaultError(
            f'faults: sample_id must be (batch,) int64, got {tuple(sample_id.shape)} '
            f'{sample_id.dtype}'
        )
    return sample_id.cpu().long()


def require_signals(
    signals: Mapping[str, Tensor], modalities: Mapping[str, Modality], count: int
) -> None:
    """Reject signals of other modalities, types or shapes.

    Args:
        signals: Signals of a batch.
        modalities: The modalities by name.
        count: Number of samples in the batch.

    Raises:
        LipfaultError: If a signal does not fit; names it.
    """
    if set(signals) != set(modalities):
        raise LipfaultError(
            f'faults: the signals must be of the modalities {sorted(modalities)}, '
            f'got {sorted(signals)}'
        )
    for name, modality in modalities.items():
        _require_numbers(name, signals[name])
        shape, ndim = tuple(signals[name].shape), 3 if modality.kind == 'series' else 4
        expected = (count, len(modality.channels))
        if len(shape) != ndim or shape[:2] != expected:
            raise LipfaultError(
                f'faults: {name!r} must have {ndim} dimensions and begin with {expected}, '
                f'got shape {shape}'
            )


def require_history(history: Mapping[str, Tensor], signals: Mapping[str, Tensor]) -> None:
    """Reject a history of another modality, batch, type, or shape of a sample.

    Args:
        history: Samples directly before the window.
        signals: Signals of the batch.

    Raises:
        LipfaultError: If a history does not fit; names it.
    """
    for name, past in history.items():
        if name not in signals:
            raise unknown('modality', name, signals)
        _require_numbers(f'history of {name}', past)
        shape = tuple(signals[name].shape)
        # Time is the last axis of a series, and the second one of the frames before an image.
        found = (past.shape[0], *past.shape[2:]) if past.ndim == 5 else past.shape[:2]
        expected = shape if past.ndim == 5 else shape[:2]
        if past.ndim != len(shape) + (len(shape) == 4) or tuple(found) != expected:
            layout = '(batch, frame, channel, height, width)'
            layout = layout if len(shape) == 4 else '(batch, channel, steps)'
            raise LipfaultError(
                f'faults: the history of {name!r} must be {layout} for a signal of shape '
                f'{shape}, got {tuple(past.shape)}'
            )


def require_nan(name: str, signal: Tensor, faults: Collection[AnyFault]) -> None:
    """Reject faults that lose values of a signal whose type cannot hold NaN.

    Args:
        name: Name of the modality.
        signal: Its signal.
        faults: Faults that may be injected into it.

    Raises:
        LipfaultError: If one of them sets values to NaN and the signal is uint8.
    """
    lossy = sorted(fault.name for fault in faults if fault.missing)
    if lossy and not signal.is_floating_point():
        raise LipfaultError(
            f'faults: {name!r} is {signal.dtype}, which cannot hold the NaN of {lossy[0]!r}; give '
            'float32 images in [0, 1], or leave out the kinds that lose values (missing: false)'
        )


def _require_numbers(what: str, values: Tensor) -> None:
    """Reject what is no tensor of floating point numbers or uint8."""
    if not isinstance(values, Tensor):
        raise LipfaultError(f'faults: {what!r} must be a tensor, got {type(values).__name__}')
    if not (values.is_floating_point() or values.dtype == torch.uint8):
        raise LipfaultError(f'faults: {what!r} must be floating point or uint8, got {values.dtype}')
