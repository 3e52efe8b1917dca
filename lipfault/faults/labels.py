"""The truth about injected faults, as tensors beside the batch."""

from dataclasses import dataclass, field

from torch import Tensor


@dataclass
class FaultLabels:
    """What was injected where; `M` modalities in the order of the batch's dictionary.

    Args:
        modality: (batch, M) bool, which modalities are faulty.
        kind: (batch, M) int64, index into the catalogue's sorted names, -1 where there is none.
        severity: (batch, M) int64, 1 to 5, 0 where there is none.
        channels: For each modality (batch, channel) bool, the channels touched.
        mask: For each modality a bool mask of the places touched, broadcastable to the signal:
            series (batch, channel, time), image (batch, 1, height, width).
        onset: (batch, M) float32, start of the fault in seconds from the start of the window,
            negative where it started before, NaN where there is none.
        damage: (batch, M) float32, RMS change over the touched channels of the window (series) or
            over the whole frame (image), in units of each channel's sensor noise; a lost value
            counts with the whole range; 0 where there is none.
        pattern: (batch,) int64, place among `lipfault.faults.patterns.PATTERNS` of what befell
            several modalities together, -1 where nothing did.
        present: For each modality (batch,) bool, false where faults left no value at all; a signal
            of which only a part is missing is NaN there.
    """

    modality: Tensor
    kind: Tensor
    severity: Tensor
    channels: dict[str, Tensor]
    mask: dict[str, Tensor]
    onset: Tensor
    damage: Tensor
    pattern: Tensor | None = None
    present: dict[str, Tensor] = field(default_factory=dict)

    @property
    def faulty(self) -> Tensor:
        """(batch,) bool, whether any modality of the sample is faulty."""
        return self.modality.any(dim=1)
