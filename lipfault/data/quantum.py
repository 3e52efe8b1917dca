"""Infer the step of the values of a channel."""

import math
from typing import Any

import numpy as np
import numpy.typing as npt

Values = npt.NDArray[np.float64]

# Fewest distinct values of a channel from which a grid is inferred: the differences of fewer may
# have a common divisor by chance.
_DISTINCT = 16

# Largest distance of a value from the grid, as a share of the quantum.
_TOLERANCE = 1e-3

# Least ratio of a quantum to the spacing of float32 at the largest value: below it, any value is a
# multiple of the spacing.
_SPACINGS = 8


def image_quantum(values: npt.NDArray[np.uint8]) -> float:
    """Infer the quantum of a channel of an image.

    Candidates are n levels spread over 0 to 255 and rounded, and the multiples of a whole number.
    At least half of the levels must occur.

    Args:
        values: Grey levels of any shape, uint8.

    Returns:
        The quantum as a share of 255; 1/255 if there is no coarser grid.

    Example:
        >>> 1 / image_quantum(np.round(np.arange(32) * 255 / 31).astype(np.uint8))
        31.0
    """
    found = np.unique(values)
    if len(found) >= _DISTINCT:
        spread = [1 / (count - 1) for count in range(2, 256)]
        multiples = [step / 255 for step in range(2, 256)]
        for quantum in sorted({*spread, *multiples}, reverse=True):
            levels = grey_levels(quantum)
            if 2 * len(found) >= len(levels) and np.isin(found, levels).all():
                return quantum
    return 1 / 255


def grey_levels(quantum: float) -> npt.NDArray[np.int64]:
    """Return the grey levels of an image of 8 bits with a quantum.

    Args:
        quantum: Step as a share of 255.

    Returns:
        (level,) int64 in 0 to 255.

    Example:
        >>> grey_levels(1 / 5).tolist()
        [0, 51, 102, 153, 204, 255]
    """
    count = math.floor(1 / quantum + 1e-6) + 1
    levels: npt.NDArray[np.int64] = np.rint(np.arange(count) * quantum * 255).astype(np.int64)
    return levels


def series_quantum(values: npt.NDArray[Any]) -> float | None:
    """Infer the quantum of a channel of a series.

    Args:
        values: Readings, any shape; NaN is left out.

    Returns:
        The quantum; `None` if the values lie on no grid, or if too few are distinct.

    Example:
        >>> series_quantum(np.arange(40, dtype=np.float32) * np.float32(0.01))
        0.01
    """
    found = np.unique(values[np.isfinite(values)]).astype(np.float64)
    if len(found) < _DISTINCT:
        return None
    spacing = 2.0**-23 * float(np.abs(found).max())
    smallest = float(np.diff(found).min())
    # The smallest difference is a small multiple of the quantum.
    for divisor in range(1, 9):
        for quantum in _nearby(smallest / divisor):
            if quantum >= _SPACINGS * spacing and _on_grid(found, quantum, spacing):
                return quantum
    return None


def _nearby(step: float) -> tuple[float, ...]:
    """Return the power of two and the short decimal next to a step that float32 has rounded."""
    return float(2.0 ** round(math.log2(step))), float(f'{step:.3g}'), step


def _on_grid(values: Values, quantum: float, spacing: float) -> bool:
    """Return whether all values are multiples of a quantum."""
    away = np.abs(values - np.rint(values / quantum) * quantum)
    return bool((away <= _TOLERANCE * quantum + spacing).all())
