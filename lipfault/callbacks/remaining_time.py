"""Estimate of the time that a certificate takes, from the time of one pass."""

import time
from collections.abc import Callable

_BACKWARD = 3.0
"""Time of a forward and backward pass in forward passes: about two more for the gradients."""


class RemainingTime:
    """Estimate the remaining seconds of the attacks of a certificate.

    Args:
        rows: Number of modalities, each of which is attacked once for each output.
        samples: Injected faults of each modality that are measured.
        attacked: Faults from which each attack starts.
        steps: Steps of each attack.
    """

    def __init__(self, rows: int, samples: int, attacked: int, steps: int) -> None:
        """Count the forward passes of one window that each modality needs."""
        self.rows = rows
        attacks = rows * attacked * (2 + _BACKWARD * steps)
        self.passes = 2 * samples + rows * 4 * samples + attacks

    def from_pass(self, run: Callable[[], object], windows: int) -> float:
        """Estimate the whole from the time of one forward pass.

        Args:
            run: The pass.
            windows: Windows in it.

        Returns:
            Seconds.
        """
        begin = time.monotonic()
        run()
        return (time.monotonic() - begin) / max(1, windows) * self.passes * self.rows

    def after(self, done: int, seconds: float) -> float:
        """Estimate the rest from the time of the first modalities.

        Args:
            done: Modalities that are done, at least one.
            seconds: Seconds that they have taken.

        Returns:
            Seconds.
        """
        return seconds / done * (self.rows - done)


def spoken(seconds: float) -> str:
    """Return a time in words.

    Args:
        seconds: The time.

    Returns:
        Whole seconds below two minutes, else minutes.

    Example:
        >>> spoken(75.2), spoken(600)
        ('75 s', '10 min')
    """
    return f'{seconds:.0f} s' if seconds < 120 else f'{seconds / 60:.0f} min'
