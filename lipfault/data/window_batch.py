"""Batches of windows in their layout on disk, which the loader copies to the device."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Self

import torch
from torch import Tensor


@dataclass
class Windows:
    """Windows with their history, in their layout on disk.

    Images stay uint8 until they are on the device: a quarter of the bytes of float32 to copy.

    Args:
        blocks: For each modality history and window in one tensor, time first: series
            (batch, step, channel) float32 in physical units, images
            (batch, frame, height, width, channel) uint8. Missing values of a series are NaN.
        present: For each modality (batch,) bool, false where a sample of the window is missing.
        sample_id: (batch,) int64, index of the window among all windows of the recordings.
        draw_key: (batch,) int64, not negative, hash of the episode's unique id and the window's
            end; random faults depend on it, so that they stay if other recordings are added.
        episode: (batch,) int64, position of the episode in the recordings.
        end_s: (batch,) float64, end of the window in seconds from the start of its episode.
        present_before: For each image whose recording lacks frames (batch,) bool, false where the
            frame before the window is missing.
    """

    blocks: dict[str, Tensor]
    present: dict[str, Tensor]
    sample_id: Tensor
    draw_key: Tensor
    episode: Tensor
    end_s: Tensor
    present_before: dict[str, Tensor] = field(default_factory=dict)

    def to(self, device: torch.device | str, non_blocking: bool = True) -> Self:
        """Copy blocks and presence to a device; the trainer calls this method.

        Args:
            device: The device.
            non_blocking: Whether the host continues during the copy.

        Returns:
            The windows; ids and times stay on the CPU.
        """
        # Faults are planned on the CPU from the ids: reading ids back would block the host.
        return replace(
            self,
            blocks={n: b.to(device, non_blocking=non_blocking) for n, b in self.blocks.items()},
            present={n: p.to(device, non_blocking=non_blocking) for n, p in self.present.items()},
            present_before={
                n: p.to(device, non_blocking=non_blocking) for n, p in self.present_before.items()
            },
        )

    def pin_memory(self) -> Self:
        """Copy all tensors to page-locked memory; the loader calls this method."""
        return type(self)(
            blocks={n: b.pin_memory() for n, b in self.blocks.items()},
            present={n: p.pin_memory() for n, p in self.present.items()},
            sample_id=self.sample_id.pin_memory(),
            draw_key=self.draw_key.pin_memory(),
            episode=self.episode.pin_memory(),
            end_s=self.end_s.pin_memory(),
            present_before={n: p.pin_memory() for n, p in self.present_before.items()},
        )


def collate(parts: Sequence[Windows]) -> Windows:
    """Concatenate windows in order: the `collate_fn` of a loader over a `WindowDataset`.

    Args:
        parts: Windows of the same modalities and lengths.

    Returns:
        One batch; a single part is returned without a copy.
    """
    # The usual case: `WindowDataset.__getitems__` returns a whole batch as one part.
    if len(parts) == 1:
        return parts[0]
    return Windows(
        blocks={n: torch.cat([part.blocks[n] for part in parts]) for n in parts[0].blocks},
        present={n: torch.cat([part.present[n] for part in parts]) for n in parts[0].present},
        sample_id=torch.cat([part.sample_id for part in parts]),
        draw_key=torch.cat([part.draw_key for part in parts]),
        episode=torch.cat([part.episode for part in parts]),
        end_s=torch.cat([part.end_s for part in parts]),
        present_before={
            n: torch.cat([part.present_before[n] for part in parts])
            for n in parts[0].present_before
        },
    )
