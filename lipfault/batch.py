"""The batch that the DataModule passes to a task."""

from dataclasses import dataclass, field

from torch import Tensor

from lipfault.faults.labels import FaultLabels


@dataclass
class Batch:
    """Windows of several synchronized modalities, before and after fault injection.

    Args:
        clean: Signals as recorded, see `lipfault.modality.Signals`.
        observed: Signals after fault injection, the input of the model; the same tensors as `clean`
            where no fault is injected.
        present: For each modality (batch,) bool, false where the window is missing.
        sample_id: (batch,) int64, index of the window among all windows of the recordings,
            whatever the split.
        labels: Ground truth of the injected faults; `None` for a clean batch.
        stillness: For each image with a known preceding frame (batch,) float32 in [0, 1], the
            similarity of the observed frame to the preceding one, see `lipfault.data.stillness`.
        clean_stillness: The stillness of the recorded frames.
        previous: For each image with a known preceding frame that frame as observed, shaped as the
            image; NaN where a value is missing.
        clean_previous: The preceding frames as recorded.
    """

    clean: dict[str, Tensor]
    observed: dict[str, Tensor]
    present: dict[str, Tensor]
    sample_id: Tensor
    labels: FaultLabels | None = None
    stillness: dict[str, Tensor] = field(default_factory=dict)
    clean_stillness: dict[str, Tensor] = field(default_factory=dict)
    previous: dict[str, Tensor] = field(default_factory=dict)
    clean_previous: dict[str, Tensor] = field(default_factory=dict)
