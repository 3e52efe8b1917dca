"""Connected regions of masks."""

import torch
from torch import Tensor

_NEIGHBOURS = ((0, 1), (1, -1), (1, 0), (1, 1))
"""Steps (down, right) to half of the eight neighbours; the others are their opposites."""


def label_regions(mask: Tensor) -> Tensor:
    """Number the connected regions of masks; pixels that share a corner are connected.

    Each pixel points to a pixel of its region. Where two neighbours point to different roots, the
    larger root is hooked to the smaller one, and all chains of pointers are shortened, until no
    such pair is left. A few rounds suffice, whatever the shape of a region.

    Args:
        mask: (batch, height, width) bool.

    Returns:
        (batch, height, width) int64, 0 outside the mask, else from 1 without gaps in the order of
        the first pixels; no region extends over two samples.

    Reference:
        Shiloach & Vishkin 1982, An O(log n) parallel connectivity algorithm,
        https://doi.org/10.1016/0196-6774(82)90008-6

    Example:
        >>> label_regions(torch.tensor([[[1, 0, 0], [0, 1, 0], [0, 0, 0], [1, 1, 0]]]).bool())
        tensor([[[1, 0, 0],
                 [0, 1, 0],
                 [0, 0, 0],
                 [2, 2, 0]]])
    """
    root = torch.arange(mask.numel(), device=mask.device)
    one, other = _touching(mask)
    while len(one):
        low, high = (end(root[one], root[other]) for end in (torch.minimum, torch.maximum))
        root = _shortened(root.scatter_reduce(0, high, low, 'amin'))
        apart = root[one] != root[other]
        one, other = one[apart], other[apart]
    labels = torch.zeros_like(root)
    inside = mask.flatten()
    labels[inside] = torch.unique(root[inside], return_inverse=True)[1] + 1
    return labels.view(mask.shape)


def _touching(mask: Tensor) -> tuple[Tensor, Tensor]:
    """Return the flat indices of all pairs of neighbours inside the mask."""
    height, width = mask.shape[-2:]
    place = torch.arange(mask.numel(), device=mask.device).view(mask.shape)
    ones, others = [], []
    for down, right in _NEIGHBOURS:
        left = max(0, -right)
        stop = width - max(0, right)
        here = (slice(None), slice(0, height - down), slice(left, stop))
        there = (slice(None), slice(down, height), slice(left + right, stop + right))
        both = mask[here] & mask[there]
        ones.append(place[here][both])
        others.append(place[there][both])
    return torch.cat(ones), torch.cat(others)


def _shortened(root: Tensor) -> Tensor:
    """Let each pixel point to the end of its chain."""
    while True:
        further = root[root]
        if torch.equal(further, root):
            return root
        root = further
