"""Evaluation of many windows in chunks, to bound the memory."""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from lipfault.modality import Signals

CHUNK = 128
"""Windows that are evaluated together, unless asked otherwise."""


def chunks(signals: Signals, size: int = CHUNK) -> Iterator[Signals]:
    """Split signals along the batch.

    Args:
        signals: Signals, (window, ...) each.
        size: Windows of a chunk.

    Yields:
        Signals of at most `size` windows, in order.
    """
    for start in range(0, len(next(iter(signals.values()))), size):
        yield {n: x[start : start + size] for n, x in signals.items()}


def in_chunks(signals: Signals, *functions: Callable[[Signals], Signals]) -> list[Signals]:
    """Evaluate functions of signals chunk by chunk.

    Args:
        signals: Signals, (window, ...) each.
        *functions: Functions from signals to signals, which treat windows independently.

    Returns:
        The outputs of each function for all windows, joined along the batch.
    """
    results = [[f(chunk) for chunk in chunks(signals)] for f in functions]
    return [{n: torch.cat([part[n] for part in of]) for n in of[0]} for of in results]


def features_in_chunks(
    signals: Signals, function: Callable[[Signals], Tensor], size: int = CHUNK
) -> Tensor:
    """Evaluate one feature function of signals chunk by chunk.

    Args:
        signals: Signals, (window, ...) each.
        function: Function from signals to (window, feature), which treats windows independently.
        size: Windows of a chunk.

    Returns:
        (window, feature) for all windows.
    """
    return torch.cat([function(chunk) for chunk in chunks(signals, size)])
