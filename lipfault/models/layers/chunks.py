"""Many windows, a few at a time."""

from collections.abc import Callable

import torch

from lipfault.models.autoencoder.autoencoder import Signals

CHUNK = 128
"""Windows that are looked at together before the training."""


def in_chunks(signals: Signals, *functions: Callable[[Signals], Signals]) -> list[Signals]:
    """What functions of signals give, computed for a few windows at a time to save memory."""
    rows = range(0, len(next(iter(signals.values()))), CHUNK)
    pieces = [{n: x[start : start + CHUNK] for n, x in signals.items()} for start in rows]
    results = [[f(piece) for piece in pieces] for f in functions]
    return [{n: torch.cat([part[n] for part in of]) for n in of[0]} for of in results]
