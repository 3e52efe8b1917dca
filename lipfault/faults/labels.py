"""Ground truth of injected faults, as tensors beside the batch."""

from dataclasses import dataclass, field

from torch import Tensor


@dataclass
class FaultLabels:
    """Ground truth of the injected faults; `M` modalities in the order of the batch's dictionary.

    **Damage**, here and everywhere, is the root mean square (RMS) change that a fault makes, in
    units of the sensor noise: over the affected channels and all steps of the window (series), or
    over the whole frame (image), each channel's change divided by the standard deviation of its
    noise. A lost value counts as a change by the width of the channel's physical range.

    Args:
        modality: (batch, M) bool, which modalities are faulty.
        kind: (batch, M) int64, index into the engine's names, -1 where there is no fault.
        severity: (batch, M) int64, 1 to 5, 0 where there is no fault.
        channels: For each modality (batch, channel) bool, the affected channels.
        mask: For each modality a bool mask of the affected entries, broadcastable to the signal:
            series (batch, channel, time), image (batch, 1, height, width).
        onset: (batch, M) float32, start of the fault in seconds from the start of the window,
            negative where it started before, NaN where there is no fault.
        damage: (batch, M) float32, as defined above; 0 where there is no fault.
        pattern: (batch,) int64, index into `lipfault.faults.patterns.PATTERNS` of the pattern that
            affects several modalities together, -1 where there is none.
        present: For each modality (batch,) bool, false where a fault left no value at all. Where
            only a part of a signal is missing, that part of the signal is NaN.
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
        """Return (batch,) bool, whether any modality of the sample is faulty."""
        return self.modality.any(dim=1)
