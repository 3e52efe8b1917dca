"""Faults that blur the frame."""

import math

import torch
from torch import Tensor
from torch.nn import functional

from lipfault.faults.device import take_rows
from lipfault.faults.image.site import ImageFault, ImageSite


class Defocus(ImageFault):
    """Blur by two passes of a square mean, close to the disc of a defocused lens.

    Formula:
        x' = b_w ∗ b̄_w ∗ x, b_w the mean over w × w pixels (those in the frame), b̄_w mirrored

    Cause:
        lens ring moved, condensation, fingerprint on the lens

    Levels:
        w, share of the shorter side; below two pixels a part of the light is blurred over two

    Reference:
        after Hendrycks & Dietterich 2019, https://arxiv.org/abs/1903.12261, own levels
    """

    name, group = 'defocus', 'blur'
    levels = (0.003, 0.01, 0.03, 0.08, 0.25)

    def _faulty(self, site: ImageSite) -> Tensor:
        pixels = site.level(self.levels) * site.scale
        width = pixels.round().long().flatten(1).clamp_min(2)  # (n, 1)
        before = width // 2
        image = site.signal - 0.5  # about zero, where running sums round least
        for _axis in (2, 3):
            # The second window is the mirrored first, so that an even width shifts nothing.
            image = _running_mean(image, before, width - before)
            image = _running_mean(image, width - before - 1, before + 1)
            image = image.transpose(2, 3).contiguous()
        return torch.lerp(site.signal, image.add_(0.5), (pixels / 2).clamp_max(1))


class MotionBlur(ImageFault):
    """Average along the straight path of the camera during the exposure.

    Formula:
        x'(p) = mean of x(p + L (k/8 − 1/2) e), k = 0 … 8, e a direction, nearest pixels

    Cause:
        vibrating mount, long exposure of a moving camera

    Levels:
        L, length of the path, share of the shorter side; below two pixels a part of the light is
        blurred over two

    Reference:
        after Hendrycks & Dietterich 2019, https://arxiv.org/abs/1903.12261, own levels
    """

    name, group = 'motion_blur', 'blur'
    levels = (0.003, 0.01, 0.04, 0.12, 0.4)

    def _faulty(self, site: ImageSite) -> Tensor:
        pixels = site.level(self.levels) * site.scale
        length = pixels.flatten().clamp_min(2)
        # In float64, so that the float32 result is the same on every processor.
        angle = math.pi * site.draws.uniform('angle').double()
        # Nine points of the path, from -1/2 to 1/2 of its length; (n, 9) whole pixels.
        point = torch.arange(9, dtype=torch.float32, device=length.device) / 8 - 0.5
        down = ((length * angle.sin().float())[:, None] * point).round().long()
        right = ((length * angle.cos().float())[:, None] * point).round().long()
        on_cpu = site.signal.device.type == 'cpu'
        total = _sum_of_slices(site, down, right) if on_cpu else _sum_of_copies(site, down, right)
        return torch.lerp(site.signal, total / 9, (pixels / 2).clamp_max(1))


def _sum_of_copies(site: ImageSite, down: Tensor, right: Tensor) -> Tensor:
    """Add shifted copies of the frames, the border repeated.

    Args:
        site: The frames.
        down: (n, copies) int64, rows by which each copy is shifted.
        right: (n, copies) int64, columns.

    Returns:
        (n, C, H, W) float32.
    """
    total = torch.zeros_like(site.signal)
    for rows, columns in zip(down.T, right.T, strict=True):
        row = site.row.long() + rows[:, None, None]
        total += site.nearest(row, site.column.long() + columns[:, None, None])
    return total


def _sum_of_slices(site: ImageSite, down: Tensor, right: Tensor) -> Tensor:
    """Compute `_sum_of_copies` on a CPU, bit by bit, from slices of a padded frame.

    Args:
        site: The frames.
        down: (n, copies) int64, as of `_sum_of_copies`.
        right: (n, copies) int64.

    Returns:
        (n, C, H, W) float32.
    """
    total = torch.zeros_like(site.signal)
    pad = int(torch.maximum(down.abs(), right.abs()).max())
    padded = functional.pad(site.signal, (pad,) * 4, mode='replicate').numpy()
    corners = (torch.stack([down, right], dim=2) + pad).tolist()
    for frame, added, path in zip(padded, total.numpy(), corners, strict=True):
        for top, left in path:
            added += frame[:, top : top + site.height, left : left + site.width]
    return total


def _running_mean(image: Tensor, before: Tensor, after: Tensor) -> Tensor:
    """Average the rows from `before` above each row to less than `after` below it, in the frame.

    Args:
        image: (n, C, H, W) float32.
        before: (n, 1) int64.
        after: (n, 1) int64.

    Returns:
        (n, C, H, W) float32.

    Reference:
        Crow 1984, Summed-area tables for texture mapping, https://doi.org/10.1145/964965.808600
    """
    samples, channels, size, width = image.shape
    # Sums of the rows above, with a row of zeros before the first one.
    total = image.new_zeros(samples, channels, size + 1, width)
    torch.cumsum(image, 2, out=total[:, :, 1:])
    row = torch.arange(size, device=image.device)
    low, high = (row - before).clamp_min_(0), (row + after).clamp_max_(size)  # (n, H)
    window = take_rows(total, high[:, None]).sub_(take_rows(total, low[:, None]))
    return window.div_((high - low)[:, None, :, None])
