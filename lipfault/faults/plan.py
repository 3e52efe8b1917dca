"""Drawn parameters of the faults of a batch."""

from dataclasses import dataclass, fields

import torch
from torch import Tensor


@dataclass(frozen=True)
class Columns:
    """Fault of each modality of each sample; all tensors (batch, M), on the CPU.

    Args:
        kind: int64, index into the engine's names, -1 where there is no fault.
        severity: int64, 1 to 5, 0 where there is no fault.
        begin: float32, onset in windows from the window's start, at least -1.
        end: float32, end in windows from the window's start, above 1 if the fault goes on.
        partner: int64, index of the modality with which this one is swapped, -1 without a swap.
    """

    kind: Tensor
    severity: Tensor
    begin: Tensor
    end: Tensor
    partner: Tensor

    def where(self, chosen: Tensor, other: 'Columns') -> 'Columns':
        """Combine two sets of faults.

        Args:
            chosen: (batch, 1) or (batch, M) bool, where to keep these.
            other: Faults of the other entries.

        Returns:
            New columns.
        """
        return Columns(
            *(
                torch.where(chosen, getattr(self, field.name), getattr(other, field.name))
                for field in fields(self)
            )
        )

    def only(self, faulty: Tensor) -> 'Columns':
        """Keep the faults of some entries, and remove the others.

        Args:
            faulty: (batch, M) bool, where to keep them.

        Returns:
            New columns.
        """
        none = torch.full_like(self.kind, -1)
        return Columns(
            torch.where(faulty, self.kind, none),
            self.severity * faulty,
            self.begin,
            self.end,
            torch.where(faulty, self.partner, none),
        )


@dataclass(frozen=True)
class Plan:
    """Faults drawn for a batch, on the CPU.

    Args:
        sample_id: (batch,) int64.
        epoch: Epoch of the draws.
        columns: Faults of each modality, in the engine's order.
        pattern: (batch,) int64, index into `PATTERNS` of the pattern that affects several
            modalities, or -1.
    """

    sample_id: Tensor
    epoch: int
    columns: Columns
    pattern: Tensor
