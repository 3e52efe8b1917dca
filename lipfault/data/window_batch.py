"""Windows as they lie on the disk: what a loader hands to the device."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self

import torch
from torch import Tensor


@dataclass
class Windows:
    """Windows with their history, as they lie on the disk: what travels to the device.

    Args:
        blocks: For each modality history and window in one piece, time first: series
            (batch, step, channel) float32 in physical units, images
            (batch, frame, height, width, channel) uint8. Missing values of a series are NaN.
        present: For each modality (batch,) bool, false where a sample of the window is missing.
        sample_id: (batch,) int64, number of the window among all windows of the recordings.
        episode: (batch,) int64, position of the episode in the recordings.
        end_s: (batch,) float32, the window's end in seconds from the start of its episode.
    """

    blocks: dict[str, Tensor]
    present: dict[str, Tensor]
    sample_id: Tensor
    episode: Tensor
    end_s: Tensor

    def to(self, device: torch.device | str, non_blocking: bool = True) -> Self:
        """The same with blocks and presence on a device; the trainer calls this.

        The numbers of the samples stay on the CPU, where the faults are planned: reading them back
        would make the host wait for the device.
        """
        return replace(
            self,
            blocks={n: b.to(device, non_blocking=non_blocking) for n, b in self.blocks.items()},
            present={n: p.to(device, non_blocking=non_blocking) for n, p in self.present.items()},
        )

    def pin_memory(self) -> Self:
        """The same in page-locked memory; the loader calls this."""
        return type(self)(
            blocks={n: b.pin_memory() for n, b in self.blocks.items()},
            present={n: p.pin_memory() for n, p in self.present.items()},
            sample_id=self.sample_id.pin_memory(),
            episode=self.episode.pin_memory(),
            end_s=self.end_s.pin_memory(),
        )


def join(parts: Sequence[Windows]) -> Windows:
    """One batch from several, in order: `collate_fn` of a loader over a `WindowDataset`.

    A loader fetches a batch in one piece, and one piece is handed on without a copy.
    """
    if len(parts) == 1:
        return parts[0]
    return Windows(
        blocks={n: torch.cat([part.blocks[n] for part in parts]) for n in parts[0].blocks},
        present={n: torch.cat([part.present[n] for part in parts]) for n in parts[0].present},
        sample_id=torch.cat([part.sample_id for part in parts]),
        episode=torch.cat([part.episode for part in parts]),
        end_s=torch.cat([part.end_s for part in parts]),
    )
