"""Where a fault acts on an image."""

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from lipfault.faults.draws import Draws
from lipfault.faults.fault import Fault, Site


@dataclass(frozen=True)
class ImageSite(Site):
    """Frames of one camera on which one kind of fault acts: `n` samples, `C` channels, H × W.

    Args:
        frame: Draws that differ from frame to frame, where `draws` stay for as long as the fault
            lasts: noise against dirt.
    """

    frame: Draws

    @property
    def height(self) -> int:
        """Rows of a frame."""
        return self.signal.shape[2]

    @property
    def width(self) -> int:
        """Columns of a frame."""
        return self.signal.shape[3]

    @property
    def channels(self) -> int:
        """Channels of a frame."""
        return self.signal.shape[1]

    @property
    def scale(self) -> int:
        """Shorter side in pixels, the unit of lengths on the image."""
        return min(self.height, self.width)

    @cached_property
    def row(self) -> Tensor:
        """(H, 1) float32 row numbers."""
        return torch.arange(self.height, dtype=torch.float32, device=self.signal.device)[:, None]

    @cached_property
    def column(self) -> Tensor:
        """(1, W) float32 column numbers."""
        return torch.arange(self.width, dtype=torch.float32, device=self.signal.device)[None]

    @cached_property
    def everywhere(self) -> Tensor:
        """(n, 1, H, W) bool, all true."""
        shape = (len(self.signal), 1, self.height, self.width)
        return torch.ones(shape, dtype=torch.bool, device=self.signal.device)

    @cached_property
    def pixels(self) -> tuple[int, int, int]:
        """Shape of one draw for each pixel, the same for all channels."""
        return (1, self.height, self.width)

    def look(self, row: Tensor, column: Tensor) -> Tensor:
        """Look pixels up at whole coordinates, repeating the border outside.

        Args:
            row: (n, H, W) int64 rows.
            column: (n, H, W) int64 columns.

        Returns:
            (n, C, H, W) pixels.
        """
        row, column = row.clamp(0, self.height - 1), column.clamp(0, self.width - 1)
        index = (row * self.width + column).flatten(1)[:, None].expand(-1, self.channels, -1)
        return self.signal.flatten(2).gather(2, index).view_as(self.signal)

    def place(self, name: str, count: int = 1) -> tuple[Tensor, Tensor]:
        """Draw points on the frame: rows and columns, (n, count, 1, 1) float32 each."""
        point = self.draws.uniform(name, (2, count, 1, 1))
        return point[:, 0] * self.height, point[:, 1] * self.width


class ImageFault(Fault[ImageSite]):
    """A fault of an image."""

    family = 'image'
