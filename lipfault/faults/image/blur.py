"""The frame is not sharp."""

import math

import torch
from torch import Tensor

from lipfault.faults.device import take_rows
from lipfault.faults.image.site import ImageFault, ImageSite

_CORRUPTIONS = 'after Hendrycks & Dietterich 2019, arXiv:1903.12261; severities ours'


class Defocus(ImageFault):
    """Out of focus: two passes of a square mean, a good likeness of a disc."""

    name = 'defocus'
    group = 'blur'
    formula = (
        "x' = b_w ∗ b̄_w ∗ x, b_w the mean over w × w pixels (those in the frame), b̄_w mirrored"
    )
    reading = 'lens ring moved, condensation, fingerprint on the lens'
    levels = (0.03, 0.05, 0.08, 0.13, 0.22)
    level_text = 'w, share of the shorter side, at least a pixel × (severity + 1)'
    source = _CORRUPTIONS

    def apply(self, site: ImageSite) -> tuple[Tensor, Tensor]:
        """Average over the square, twice."""
        width = (site.level(self.levels) * site.scale).round().long()
        width = width.flatten(1).maximum(site.severity[:, None] + 1)
        before = width // 2
        image = site.signal - 0.5  # about zero, where running sums round least
        for _axis in (2, 3):
            image = _running_mean(image, before, width - before)
            image = _running_mean(image, width - before - 1, before + 1)
            image = image.transpose(2, 3).contiguous()
        return image.add_(0.5), site.everywhere


class MotionBlur(ImageFault):
    """The camera moved along a straight line during the exposure."""

    name = 'motion_blur'
    group = 'blur'
    formula = "x'(p) = mean of x(p + L (k/8 − 1/2) e), k = 0 … 8, e a direction, nearest pixels"
    reading = 'vibrating mount, long exposure of a moving camera'
    levels = (0.03, 0.06, 0.1, 0.17, 0.3)
    level_text = 'L, length of the path, share of the shorter side, at least 1 pixel × severity'
    source = _CORRUPTIONS

    def apply(self, site: ImageSite) -> tuple[Tensor, Tensor]:
        """Average along the path."""
        length = (site.level(self.levels) * site.scale).flatten().maximum(site.severity)
        angle = math.pi * site.draws.uniform('angle').double()
        down, right = length * angle.sin().float(), length * angle.cos().float()
        total = torch.zeros_like(site.signal)
        for tap in range(9):
            row = site.row + (down * (tap / 8 - 0.5)).round()[:, None, None]
            column = site.column + (right * (tap / 8 - 0.5)).round()[:, None, None]
            total += site.look(row.long(), column.long())
        return total / 9, site.everywhere


def _running_mean(image: Tensor, before: Tensor, after: Tensor) -> Tensor:
    """Mean from `before` rows before each row to less than `after` behind it, in the frame.

    Args:
        image: (n, C, H, W) float32.
        before: (n, 1) int64.
        after: (n, 1) int64.
    """
    samples, channels, size, width = image.shape
    total = image.new_zeros(samples, channels, size + 1, width)
    torch.cumsum(image, 2, out=total[:, :, 1:])
    row = torch.arange(size, device=image.device)
    low, high = (row - before).clamp_min_(0), (row + after).clamp_max_(size)
    window = take_rows(total, high[:, None]).sub_(take_rows(total, low[:, None]))
    return window.div_((high - low)[:, None, :, None])
