"""Result of an injection."""

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Injected:
    """Result of an injection into the faulty samples of one modality; `n` samples.

    Args:
        observed: Faulty signal, of the clean signal's shape.
        mask: Bool, the affected entries: series (n, C, T), image (n, 1, H, W).
        channels: (n, C) bool, the affected channels; (n, 1) of an image, all alike.
        damage: (n,) float32, see `lipfault.faults.labels.FaultLabels`.
        present: (n,) bool, false where no value is left.
    """

    observed: Tensor
    mask: Tensor
    channels: Tensor
    damage: Tensor
    present: Tensor

    @property
    def changed(self) -> Tensor:
        """Return (n,) bool, whether the fault changed any reading."""
        return self.damage > 0
