"""Where a fault acts on an image."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from lipfault.faults.draws import Draws
from lipfault.faults.fault import Fault, Site


@dataclass(frozen=True)
class Frames:
    """Earlier frames of some samples, looked up in the batch's when they are asked for.

    Args:
        batch: (batch, frame, C, H, W) float32 in [0, 1] or uint8, the oldest first; may hold zero
            frames.
        samples: (n,) int64, rows of the batch.
    """

    batch: Tensor
    samples: Tensor

    def __len__(self) -> int:
        """Frames known of each sample."""
        return self.batch.shape[1]

    def rows(self, start: int, stop: int) -> 'Frames':
        """The frames of the samples `start` to `stop`."""
        return Frames(self.batch, self.samples[start:stop])

    def back(self, count: Tensor) -> Tensor:
        """The frame some frames ago: (n, C, H, W) float32.

        Args:
            count: (n,) int64, 1 for the frame just before; the oldest one known stands for those
                before it.
        """
        index = len(self) - count.clamp(1, len(self))
        return unit_range(self.batch[self.samples, index])


def unit_range(image: Tensor) -> Tensor:
    """Float32 in [0, 1] from that or from uint8."""
    return image.float() / 255 if image.dtype == torch.uint8 else image.float()


def pixels_at(image: Tensor, number: Tensor) -> Tensor:
    """Look pixels up by their numbers.

    Args:
        image: (n, C, H, W).
        number: (n, H, W) int64, pixels counted row by row.

    Returns:
        (n, C, H, W) pixels.
    """
    index = number.flatten(1)[:, None].expand(-1, image.shape[1], -1)
    return image.flatten(2).gather(2, index).view(image.shape)


def last_frames(history: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The frame just before the window's, (batch, C, H, W) in [0, 1], of each image that has one.

    Args:
        history: What came directly before: images (batch, frame, C, H, W), series are left out.
    """
    return {n: unit_range(x[:, -1]) for n, x in history.items() if x.ndim == 5 and x.shape[1]}


@dataclass(frozen=True)
class ImageSite(Site):
    """Frames of one camera on which one kind of fault acts: `n` samples, `C` channels, H × W.

    Args:
        past: Earlier frames.
        frame: Draws that differ from frame to frame, where `draws` stay for as long as the fault
            lasts: noise against dirt.
        anchor: (n, C, H, W) the frame at the onset where it is remembered.
        ago: Frames between this one and the one that the window shows.
    """

    past: Frames
    frame: Draws
    anchor: Tensor | None = None
    ago: int = 0

    _same_for_all = ('row', 'column')

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
            row: (n, H, W or 1) int64 rows.
            column: (n, H or 1, W) int64 columns.

        Returns:
            (n, C, H, W) pixels.
        """
        row, column = row.clamp(0, self.height - 1), column.clamp(0, self.width - 1)
        return pixels_at(self.signal, row * self.width + column)

    def look_between(self, row: Tensor, column: Tensor) -> Tensor:
        """Look pixels up at fractional coordinates, bilinearly; otherwise as `look`.

        Args:
            row: (n, H, W) float32 rows.
            column: (n, H, W) float32 columns.
        """
        top, left = row.floor(), column.floor()
        down, right = (row - top)[:, None], (column - left)[:, None]
        r, c = top.long(), left.long()
        rows = [(r + one).clamp_(0, self.height - 1).mul_(self.width) for one in (0, 1)]
        columns = [(c + one).clamp_(0, self.width - 1) for one in (0, 1)]
        lines = []
        for first in rows:
            before, after = (pixels_at(self.signal, first + each) for each in columns)
            lines.append(torch.lerp(before, after, right))
        return torch.lerp(lines[0], lines[1], down)

    def smooth(self, name: str, cells: int) -> Tensor:
        """Draw a smooth random field: (n, 1, H, W) float32 in [0, 1), mean about 1/2.

        Args:
            name: Name of the stream.
            cells: Cells along each side between whose corners the field runs smoothly.
        """
        corner = self.draws.uniform(name, (1, cells + 1, cells + 1))
        for size in (self.height, self.width):
            place = (torch.arange(size, device=corner.device) + 0.5) * (cells / size)
            cell = place.long()
            share = place - cell
            share = (share * share * (3 - 2 * share))[:, None]
            before, after = corner.index_select(2, cell), corner.index_select(2, cell + 1)
            corner = (before + (after - before) * share).transpose(2, 3).contiguous()
        return corner

    def bumps(self, name: str, cells: int, share: Tensor, radii: tuple[float, float]) -> 'Bumps':
        """Draw round spots, at most one in each cell of a grid; at least one.

        Args:
            name: Name of the stream.
            cells: Cells along each side of the frame.
            share: (n, 1, 1, 1) share of the cells that hold a spot.
            radii: Smallest and largest radius, in cells, below 1/2.
        """
        draw = self.draws.uniform(name, (4, cells, cells))
        here = draw[:, 3:] <= share.maximum(draw[:, 3:].amin((2, 3), keepdim=True))
        radius = radii[0] + (radii[1] - radii[0]) * draw[:, 2:3]
        offset = radius + (1 - 2 * radius) * draw[:, :2]
        table = torch.cat([offset, radius * here], dim=1)
        rows = (self.row[:, 0] + 0.5) * (cells / self.height)
        columns = (self.column[0] + 0.5) * (cells / self.width)
        spot = table.index_select(3, columns.long()).index_select(2, rows.long())
        down = rows[:, None] % 1 - spot[:, 0]
        right = columns % 1 - spot[:, 1]
        square = (down * down + right * right)[:, None]
        profile = (1 - square / spot[:, 2:].square().clamp_min(1e-9)).clamp_min(0)
        return Bumps(profile, down * (self.height / cells), right * (self.width / cells))

    def place(self, name: str, count: int = 1) -> tuple[Tensor, Tensor]:
        """Draw points on the frame: rows and columns, (n, count, 1, 1) float32 each."""
        point = self.draws.uniform(name, (2, count, 1, 1))
        return point[:, 0] * self.height, point[:, 1] * self.width


@dataclass(frozen=True)
class Bumps:
    """Round spots on a frame.

    Args:
        profile: (n, 1, H, W) float32, 1 at the centre of a spot, 0 at its rim and outside.
        down: (n, H, W) float32, rows from the centre of the cell's spot.
        right: (n, H, W) float32, columns from the centre of the cell's spot.
    """

    profile: Tensor
    down: Tensor
    right: Tensor


class ImageFault(Fault[ImageSite]):
    """A fault of an image."""

    family = 'image'
