"""What befalls each sample of a batch: the drawn parameters."""

from dataclasses import dataclass, fields

import torch
from torch import Tensor


@dataclass(frozen=True)
class Columns:
    """What befalls each modality of each sample; all (batch, M), on the CPU.

    Args:
        kind: int64, index into the engine's names, -1 where there is no fault.
        severity: int64, 1 to 5, 0 where there is no fault.
        begin: float32, onset in windows from the window's start, at least -1.
        end: float32, end in windows from the window's start, above 1 if it goes on.
        partner: int64, place of the modality with which this one is swapped, -1 where none is.
    """

    kind: Tensor
    severity: Tensor
    begin: Tensor
    end: Tensor
    partner: Tensor

    def where(self, chosen: Tensor, other: 'Columns') -> 'Columns':
        """These where `chosen`, (batch, 1) or (batch, M) bool, else the other ones."""
        return Columns(
            *(
                torch.where(chosen, getattr(self, field.name), getattr(other, field.name))
                for field in fields(self)
            )
        )

    def only(self, faulty: Tensor) -> 'Columns':
        """These with faults only where `faulty`, (batch, M) bool."""
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
    """The drawn parameters of a batch, on the CPU.

    Args:
        sample_id: (batch,) int64.
        epoch: Epoch of the draws.
        columns: What befalls each modality, in the engine's order.
        pattern: (batch,) int64, place among `PATTERNS` of what befalls several together, or -1.
    """

    sample_id: Tensor
    epoch: int
    columns: Columns
    pattern: Tensor
