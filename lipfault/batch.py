"""What travels from the DataModule to a task."""

from dataclasses import dataclass, field

from torch import Tensor

from lipfault.faults.labels import FaultLabels
from lipfault.modality import Signals


@dataclass
class Batch:
    """Windows of several synchronised modalities, before and after fault injection.

    Args:
        clean: Signals as recorded.
        observed: Signals as the model sees them; the same tensors as `clean` where no fault is
            injected.
        present: For each modality a (batch,) bool tensor, false where the window is truly missing.
        sample_id: (batch,) int64, the window's index in the recordings, the same in every split.
        labels: What was injected; `None` for a clean stage.
        stillness: Of each image with a known frame before, how little the observed frame differs
            from it, (batch,) in [0, 1], see `lipfault.data.stillness`.
        clean_stillness: The same of the frames as recorded.
    """

    clean: Signals
    observed: Signals
    present: dict[str, Tensor]
    sample_id: Tensor
    labels: FaultLabels | None = None
    stillness: dict[str, Tensor] = field(default_factory=dict)
    clean_stillness: dict[str, Tensor] = field(default_factory=dict)
