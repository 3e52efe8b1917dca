"""Frames on which a fault acts, and the base class of the faults of images."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from lipfault.faults.draws import Draws
from lipfault.faults.fault import Fault, Site


@dataclass(frozen=True)
class Frames:
    """Earlier frames of some samples, gathered from the batch when a fault reads them.

    Args:
        batch: (batch, frame, C, H, W) float32 in [0, 1] or uint8, the oldest first; may hold zero
            frames.
        samples: (n,) int64, rows of the batch.
    """

    batch: Tensor
    samples: Tensor

    def __len__(self) -> int:
        """Return the number of frames of each sample."""
        return self.batch.shape[1]

    def rows(self, start: int, stop: int) -> 'Frames':
        """Return the frames of consecutive samples.

        Args:
            start: First sample.
            stop: The sample after the last one.

        Returns:
            The frames, without a copy.
        """
        return Frames(self.batch, self.samples[start:stop])

    def back(self, count: Tensor) -> Tensor:
        """Return the frame some frames ago.

        Args:
            count: (n,) int64, 1 for the previous frame; the oldest one given stands for all
                before it.

        Returns:
            (n, C, H, W) float32.
        """
        index = len(self) - count.clamp(1, len(self))
        return unit_range(self.batch[self.samples, index])


def unit_range(image: Tensor) -> Tensor:
    """Convert a signal to float32, images of uint8 to the range [0, 1].

    Args:
        image: Tensor of any shape; uint8 holds 255 times the value.

    Returns:
        float32 tensor of the same shape.
    """
    return image.float() / 255 if image.dtype == torch.uint8 else image.float()


def pixels_at(image: Tensor, number: Tensor) -> Tensor:
    """Gather pixels by their numbers.

    Args:
        image: (n, C, H, W).
        number: (n, H, W) int64, pixels counted row by row.

    Returns:
        (n, C, H, W) pixels.
    """
    index = number.flatten(1)[:, None].expand(-1, image.shape[1], -1)  # (n, C, H W)
    return image.flatten(2).gather(2, index).view(image.shape)


def last_frames(history: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the previous frame of each image that has one.

    Args:
        history: Samples directly before the window: images (batch, frame, C, H, W); series are
            left out.

    Returns:
        For each image (batch, C, H, W) float32 in [0, 1].
    """
    return {n: unit_range(x[:, -1]) for n, x in history.items() if x.ndim == 5 and x.shape[1]}


@dataclass(frozen=True)
class ImageSite(Site):
    """Frames of one camera on which one kind of fault acts: `n` samples, `C` channels, H × W.

    Args:
        past: Earlier frames.
        frame: Draws that differ from frame to frame (noise), where `draws` are constant for as long
            as the fault lasts (dirt).
        anchor: (n, C, H, W) the frame at the onset, if it is stored.
        ago: Age of the frame: 0 for the window's own, 1 for the previous one.
    """

    past: Frames
    frame: Draws
    anchor: Tensor | None = None
    ago: int = 0

    _same_for_all = ('row', 'column')

    @property
    def height(self) -> int:
        """Return the number of rows of a frame."""
        return self.signal.shape[2]

    @property
    def width(self) -> int:
        """Return the number of columns of a frame."""
        return self.signal.shape[3]

    @property
    def channels(self) -> int:
        """Return the number of channels of a frame."""
        return self.signal.shape[1]

    @property
    def scale(self) -> int:
        """Return the shorter side in pixels, the unit of lengths on the image."""
        return min(self.height, self.width)

    @cached_property
    def row(self) -> Tensor:
        """Return (H, 1) float32 row numbers."""
        return torch.arange(self.height, dtype=torch.float32, device=self.signal.device)[:, None]

    @cached_property
    def column(self) -> Tensor:
        """Return (1, W) float32 column numbers."""
        return torch.arange(self.width, dtype=torch.float32, device=self.signal.device)[None]

    @cached_property
    def everywhere(self) -> Tensor:
        """Return (n, 1, H, W) bool, all true."""
        shape = (len(self.signal), 1, self.height, self.width)
        return torch.ones(shape, dtype=torch.bool, device=self.signal.device)

    @property
    def dither(self) -> Tensor:
        """Return (n, C, H, W) float32 in [-1/2, 1/2), other numbers for each frame."""
        return self.frame.uniform('dither', self.signal.shape[1:]).sub_(0.5)

    @property
    def mask(self) -> Tensor:
        """Return (n, 1, H, W) bool, all true: a fault may affect every pixel."""
        return self.everywhere

    @cached_property
    def pixels(self) -> tuple[int, int, int]:
        """Return (1, H, W), the shape of one draw for each pixel, the same for all channels."""
        return (1, self.height, self.width)

    def faint(self, share: Tensor) -> Tensor:
        """Return how much of one pixel a share of the frame is.

        Args:
            share: (n, 1, 1, 1) share of the pixels.

        Returns:
            (n, 1, 1, 1) float32, 1 for one pixel and more.
        """
        return (share * (self.height * self.width)).clamp_max(1)

    def last_pixels(self, share: Tensor) -> Tensor:
        """Return the mask of the last pixels of the frame, which a camera transfers last.

        Args:
            share: (n, 1, 1, 1) share of the pixels, at least one pixel and at most all; rows are
                transferred from left to right.

        Returns:
            (n, 1, H, W) bool.
        """
        size = self.height * self.width
        number = self.row * self.width + self.column
        return number >= size - (share * size).ceil().clamp_min(1)

    def nearest(self, row: Tensor, column: Tensor) -> Tensor:
        """Gather pixels at whole coordinates, repeating the border outside.

        Args:
            row: (n, H, W or 1) int64 rows.
            column: (n, H or 1, W) int64 columns.

        Returns:
            (n, C, H, W) pixels.
        """
        row, column = row.clamp(0, self.height - 1), column.clamp(0, self.width - 1)
        return pixels_at(self.signal, row * self.width + column)

    def bilinear(self, row: Tensor, column: Tensor) -> Tensor:
        """Interpolate pixels bilinearly at fractional coordinates, repeating the border outside.

        Args:
            row: (n, H, W) float32 rows.
            column: (n, H, W) float32 columns.

        Returns:
            (n, C, H, W) pixels.
        """
        # Not grid_sample, which takes coordinates normalized by the size of the image and rounds.
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
        """Draw a smooth random field: values at the corners of a grid, interpolated smoothly.

        Args:
            name: Name of the stream.
            cells: Cells along each side of the frame.

        Returns:
            (n, 1, H, W) float32 in [0, 1), mean about 1/2.

        Reference:
            Perlin 1985, An image synthesizer, https://doi.org/10.1145/325165.325247
        """
        corner = self.draws.uniform(name, (1, cells + 1, cells + 1))
        for size in (self.height, self.width):
            position = (torch.arange(size, device=corner.device) + 0.5) * (cells / size)
            cell = position.long()
            share = position - cell
            # 3 t² - 2 t³ has slope 0 at both ends, so that the grid does not show.
            share = (share * share * (3 - 2 * share))[:, None]
            before, after = corner.index_select(2, cell), corner.index_select(2, cell + 1)
            corner = (before + (after - before) * share).transpose(2, 3).contiguous()
        return corner

    def spots(self, name: str, cells: int, share: Tensor, radii: tuple[float, float]) -> 'Spots':
        """Draw round spots, at most one in each cell of a grid, and at least one in all.

        Args:
            name: Name of the stream.
            cells: Cells along each side of the frame.
            share: (n, 1, 1, 1) share of the cells that hold a spot.
            radii: Smallest and largest radius, in cells, below 1/2.

        Returns:
            The spots.
        """
        # For each cell: offset down and right, radius, chance; (n, 4, cells, cells)
        draw = self.draws.uniform(name, (4, cells, cells))
        here = draw[:, 3:] <= share.maximum(draw[:, 3:].amin((2, 3), keepdim=True))
        radius = radii[0] + (radii[1] - radii[0]) * draw[:, 2:3]
        offset = radius + (1 - 2 * radius) * draw[:, :2]  # the whole spot is inside its cell
        table = torch.cat([offset, radius * here], dim=1)
        rows = (self.row[:, 0] + 0.5) * (cells / self.height)
        columns = (self.column[0] + 0.5) * (cells / self.width)
        spot = table.index_select(3, columns.long()).index_select(2, rows.long())
        down = rows[:, None] % 1 - spot[:, 0]
        right = columns % 1 - spot[:, 1]
        square = (down * down + right * right)[:, None]
        # A cell without a spot has radius 0, and a profile of 0 everywhere.
        profile = (1 - square / spot[:, 2:].square().clamp_min(1e-9)).clamp_min(0)
        return Spots(profile, down * (self.height / cells), right * (self.width / cells))

    def points(self, name: str, count: int = 1) -> tuple[Tensor, Tensor]:
        """Draw points on the frame.

        Args:
            name: Name of the stream.
            count: Points of each sample.

        Returns:
            Rows and columns, (n, count, 1, 1) float32 each.
        """
        point = self.draws.uniform(name, (2, count, 1, 1))
        return point[:, 0] * self.height, point[:, 1] * self.width


@dataclass(frozen=True)
class Spots:
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
