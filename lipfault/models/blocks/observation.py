"""Inputs of a compute block: an observation, and the masks under which it is corrected."""

from dataclasses import dataclass, field

import torch
from torch import Tensor

from lipfault.modality import Signals


@dataclass
class SideInfo:
    """Information about observed signals beside their values.

    Args:
        missing: Bool maps, true where no value arrived, shaped as the fault maps: series
            (batch, channel, time), images (batch, 1, height, width).
        stillness: For images (batch,) in [0, 1], 1 where a frame repeats the frame before bit by
            bit, see `lipfault.data.stillness`; an absent image counts as moving, 0.
    """

    missing: Signals = field(default_factory=dict)
    stillness: Signals = field(default_factory=dict)

    def rows(self, rows: Tensor) -> 'SideInfo':
        """Select samples.

        Args:
            rows: (n,) int64 indices into the batch.

        Returns:
            The side information of these samples, in this order.
        """
        missing, stillness = (
            {n: x[rows] for n, x in each.items()} for each in (self.missing, self.stillness)
        )
        return SideInfo(missing, stillness)


@dataclass
class Observation:
    """One batch as a compute block receives it.

    Args:
        signals: Standardized signals, finite, float32.
        side_info: Missing values and stillness.
        is_clean: (batch,) bool, the samples without a fault. Given in training only: these samples
            set the running scales of the block.
    """

    signals: Signals
    side_info: SideInfo = field(default_factory=SideInfo)
    is_clean: Tensor | None = None

    def stillness(self, name: str) -> Tensor:
        """Return the stillness of an image as a column.

        Args:
            name: Name of the modality.

        Returns:
            (batch, 1) in [0, 1], 0 where it is unknown.
        """
        signal = self.signals[name]
        if name not in self.side_info.stillness:
            return torch.zeros(signal.shape[0], 1, dtype=signal.dtype, device=signal.device)
        return self.side_info.stillness[name][:, None].to(signal.dtype)


@dataclass
class Masks:
    """What the corrector must do without, and what it replaces.

    Args:
        maps: For each modality a map in [0, 1], shaped as the fault maps; 1 masks. Masked values
            do not reach the corrector.
        map_logits: Logits of the fault maps of `detect`. The map refiner updates them, and the
            refined map decides what is replaced. Without them what is masked is replaced.
        opaque: (batch,) bool, samples whose masked pixels may not even be used as a degraded
            image. Given in training for clean samples, whose masked pixels are the solution.
    """

    maps: Signals
    map_logits: Signals | None = None
    opaque: Tensor | None = None
