"""Windows of an episode with their place on its clock."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from lipfault.errors import LipfaultError
from lipfault.faults.event_steps import TOLERANCE
from lipfault.modality import Modality

_COARSEST = 0.01
"""Largest rounding error of the end of a window, in steps."""


@dataclass(frozen=True)
class EpisodeWindows:
    """Windows of one modality of an episode.

    Args:
        modality: Description of the modality.
        index: Its column in the labels.
        signal: (batch, ...) clean signal.
        past: Samples directly before the windows; `None` if not given.
        clock: (batch,) int64 on the CPU, the recording's step at which each window starts; for an
            image the number of the frame.
        start_s: (batch,) float64 on the CPU, start of each window in seconds.
        ago: Age of the image in frames: 0 for the window's own frame, 1 for the previous one.
    """

    modality: Modality
    index: int
    signal: Tensor
    past: Tensor | None
    clock: Tensor
    start_s: Tensor
    ago: int = 0

    @property
    def length(self) -> int:
        """Return the steps of a window; 1 for an image."""
        return self.signal.shape[-1] if self.signal.ndim == 3 else 1

    @property
    def earlier(self) -> int:
        """Return the number of samples before each window."""
        if self.past is None:
            return 0
        return self.past.shape[2 if self.signal.ndim == 3 else 1]


def episode_windows(
    modalities: Mapping[str, Modality],
    signals: Mapping[str, Tensor],
    history: Mapping[str, Tensor],
    end_s: Tensor,
) -> list[EpisodeWindows]:
    """Place windows on the clock of their episode.

    Args:
        modalities: The modalities by name.
        signals: Clean signals of the same modalities, in any order.
        history: Samples directly before the windows; modalities may be absent.
        end_s: (batch,) ends of the windows in seconds, on the CPU.

    Returns:
        The windows of each modality, in the order of `modalities`.

    Raises:
        LipfaultError: If the signals are of other modalities, the ends do not fit them, or their
            dtype is too coarse for the rate of a modality.
    """
    if set(signals) != set(modalities):
        raise LipfaultError(
            f'scenario: the signals must be of the modalities {sorted(modalities)}, '
            f'got {sorted(signals)}'
        )
    count = len(next(iter(signals.values())))
    if tuple(end_s.shape) != (count,):
        raise LipfaultError(f'scenario: end_s must be ({count},), got {tuple(end_s.shape)}')
    rates = {name: modality.rate_hz for name, modality in modalities.items()}
    lengths = {name: signals[name].shape[-1] for name in modalities if signals[name].ndim == 3}
    window_s = max((lengths[name] / rates[name] for name in lengths), default=0.0)
    found = []
    for index, (name, modality) in enumerate(modalities.items()):
        clock = _last_step(end_s, rates[name], name) + 1 - lengths.get(name, 1)
        start_s, past = end_s.double() - window_s, history.get(name)
        found.append(EpisodeWindows(modality, index, signals[name], past, clock, start_s))
    return found


def _last_step(end_s: Tensor, rate_hz: float, name: str) -> Tensor:
    """Return (batch,) int64, the last step at or before the end of each window."""
    exact = end_s.double() * rate_hz
    tolerance = torch.full_like(exact, TOLERANCE)
    if end_s.is_floating_point() and end_s.dtype != torch.float64:
        tolerance += exact.abs() * torch.finfo(end_s.dtype).eps
    if bool((tolerance > _COARSEST).any()):
        raise LipfaultError(
            f'scenario: end_s of {end_s.dtype} is too coarse at {float(end_s.max()):.6g} s for '
            f'{name!r} at {rate_hz:g} Hz; give float64'
        )
    return (exact + tolerance).floor().long()
