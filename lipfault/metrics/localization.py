"""Localization inside a modality: how well fault maps separate faulty from clean entries."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from lipfault.metrics.regions import label_regions

BINS = 1000
"""Bins of the logit of a map, equally wide: values near 0 and 1 keep their order."""

LIMIT = 10.0
"""Logits beyond +-10, which are maps within 5e-5 of 0 or 1, count to the outermost bins."""

LOCAL = 0.5
"""A fault is local if it affects at most this share of the entries of its modality."""

MOST_RATE = 0.3
"""Largest false positive rate of the per-region overlap."""

REGION_PIXELS = 2**17
"""Pixels of a batch that are labelled at most, by whole windows: labelling is slow."""


class MapCounts:
    """Histograms of map values on faulty and on clean entries, by kind of fault, over batches.

    Args:
        kinds: Number of fault kinds.

    Attributes:
        counts: (kind, 2, bin) int64, clean and faulty entries by bin of the logit.
        overlap: (kind, bin) float64, sum over regions of the share of the region in each bin.
        regions: (kind,) int64, number of regions.
    """

    def __init__(self, kinds: int) -> None:
        """Start without entries."""
        self.counts = torch.zeros(kinds, 2, BINS, dtype=torch.int64)
        self.overlap = torch.zeros(kinds, BINS, dtype=torch.float64)
        self.regions = torch.zeros(kinds, dtype=torch.int64)

    @torch.no_grad()
    def add(self, logits: Tensor, mask: Tensor, kind: Tensor, known: Tensor | None = None) -> None:
        """Count the entries of the windows with a local fault.

        Args:
            logits: (batch, ...) logits of the fault map.
            mask: (batch, ...) bool, the true fault map, of the same shape.
            kind: (batch,) int, kind of the fault of this modality, -1 without one.
            known: (batch, ...) bool, entries that are left out since their fault is known: missing
                values.
        """
        share = mask.flatten(1).float().mean(dim=1)
        rows = ((kind >= 0) & (share > 0) & (share <= LOCAL)).nonzero()[:, 0]
        if not len(rows):
            return
        logits, mask, kind = logits[rows], mask[rows], kind[rows]
        counted = torch.ones_like(mask) if known is None else ~known[rows].expand_as(mask)
        bins = bins_of(logits)
        of_row = kind.view(-1, *[1] * (mask.dim() - 1))
        index = ((of_row * 2 + mask) * BINS + bins)[counted]
        self.counts += index.bincount(minlength=self.counts.numel()).cpu().view_as(self.counts)
        if mask.dim() == 4:
            few = slice(max(1, REGION_PIXELS // mask[0].numel()))
            self._add_regions(bins[few].cpu(), (mask & counted)[few].cpu(), kind[few].cpu())

    def _add_regions(self, bins: Tensor, mask: Tensor, kind: Tensor) -> None:
        """Add the share of each region in each bin."""
        labels = label_regions(mask[:, 0])
        inside = labels > 0
        area = labels[inside].bincount()
        of_pixel = kind.view(-1, 1, 1).expand_as(labels)[inside]
        shares = 1 / area[labels[inside]].double()
        self.overlap.view(-1).index_add_(0, of_pixel * BINS + bins[:, 0][inside], shares)
        # Each region once, by any of its pixels: all are of one window, and so of one kind.
        kind_of_region = torch.full((len(area),), -1).scatter_(0, labels[inside], of_pixel)
        self.regions += kind_of_region[1:].bincount(minlength=len(self.regions))

    def summary(self, kinds: Sequence[str]) -> dict[str, float]:
        """Summarize the maps over all kinds, and by kind.

        Args:
            kinds: Names of the fault kinds.

        Returns:
            `auroc`, `iou` (at the 0.5 level) and, for images, `aupro` over all local faults;
            `auroc_kind_<name>` and `iou_kind_<name>`. Empty without a local fault.
        """
        clean, faulty = self.counts.sum(dim=0)
        if not faulty.any():
            return {}
        found = {'auroc': binned_auroc(clean, faulty), 'iou': binned_iou(clean, faulty)}
        if self.regions.any():
            share = self.overlap.sum(dim=0) / self.regions.sum()
            found['aupro'] = per_region_overlap(clean, share)
        for kind in self.counts[:, 1].any(dim=1).nonzero()[:, 0].tolist():
            found[f'auroc_kind_{kinds[kind]}'] = binned_auroc(*self.counts[kind])
            found[f'iou_kind_{kinds[kind]}'] = binned_iou(*self.counts[kind])
        return found


def merged(parts: Sequence[MapCounts]) -> MapCounts:
    """Add up the counts of several processes.

    Args:
        parts: Counts of the same kinds, at least one.

    Returns:
        Their sum.
    """
    total = MapCounts(len(parts[0].regions))
    for part in parts:
        total.counts += part.counts
        total.overlap += part.overlap
        total.regions += part.regions
    return total


def bins_of(logits: Tensor) -> Tensor:
    """Return the bin of each logit.

    Args:
        logits: Logits of any shape.

    Returns:
        int64 of the same shape in [0, `BINS`); the upper half are maps of 0.5 and more.
    """
    place = (logits.float() + LIMIT) * (BINS / (2 * LIMIT))
    return place.floor().long().clamp(0, BINS - 1)


def binned_auroc(clean: Tensor, faulty: Tensor) -> float:
    """Compute the area under the ROC curve of entries from histograms.

    Args:
        clean: (bin,) int64 counts of clean entries.
        faulty: (bin,) int64 counts of faulty entries.

    Returns:
        Chance that a faulty entry lies in a higher bin than a clean one, the same bin counted as
        half; NaN where a class is missing.
    """
    clean, faulty = clean.double(), faulty.double()
    below = clean.cumsum(0) - clean / 2
    pairs = float(clean.sum() * faulty.sum())
    return float((faulty * below).sum()) / pairs if pairs else math.nan


def binned_iou(clean: Tensor, faulty: Tensor) -> float:
    """Compute intersection over union of true and predicted map at the 0.5 level.

    Args:
        clean: (bin,) int64 counts of clean entries.
        faulty: (bin,) int64 counts of faulty entries.

    Returns:
        TP / (TP + FP + FN) over entries; NaN without a faulty entry.

    Reference:
        Everingham et al. 2010, The Pascal visual object classes (VOC) challenge,
        https://doi.org/10.1007/s11263-009-0275-4
    """
    half = BINS // 2
    union = int(faulty.sum() + clean[half:].sum())
    return int(faulty[half:].sum()) / union if faulty.any() else math.nan


def per_region_overlap(clean: Tensor, share: Tensor, most: float = MOST_RATE) -> float:
    """Compute the area under the per-region overlap up to a false positive rate (AUPRO).

    The per-region overlap at a threshold is the mean over the connected regions of true maps of the
    share of the region above it: a small region counts like a large one.

    Args:
        clean: (bin,) counts of clean entries.
        share: (bin,) mean over regions of the share of the region in each bin.
        most: Largest false positive rate.

    Returns:
        Area over `most`, 1 for a perfect map; NaN without a clean entry.

    Reference:
        Bergmann et al. 2021, The MVTec anomaly detection dataset,
        https://doi.org/10.1007/s11263-020-01400-4
    """
    if not clean.any():
        return math.nan
    zero = torch.zeros(1, dtype=torch.float64)
    rate = torch.cat([zero, clean.double().flip(0).cumsum(0) / clean.sum()])
    overlap = torch.cat([zero, share.double().flip(0).cumsum(0)])
    # The curve ends at the limit, between two of its points.
    beyond = int((rate <= most).sum())
    if beyond < len(rate):
        part = (most - rate[beyond - 1]) / (rate[beyond] - rate[beyond - 1])
        end = overlap[beyond - 1] + part * (overlap[beyond] - overlap[beyond - 1])
        rate = torch.cat([rate[:beyond], rate.new_tensor([most])])
        overlap = torch.cat([overlap[:beyond], end[None]])
    return float(torch.trapezoid(overlap, rate)) / most
