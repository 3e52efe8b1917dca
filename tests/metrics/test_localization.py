"""Counts of fault maps, against definitions on all entries and other implementations."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage, stats

from lipfault.metrics.localization import (
    BINS,
    MapCounts,
    binned_auroc,
    binned_iou,
    bins_of,
    merged,
    per_region_overlap,
)
from lipfault.metrics.regions import label_regions

KINDS = ('a', 'b', 'c')


def pictures(seed, count=6, size=12):
    """Masks of two blobs, maps that find them more or less, kinds in turn."""
    rng = np.random.default_rng(seed)
    mask = np.zeros((count, 1, size, size), dtype=bool)
    for n in range(count):
        for _ in range(2):
            top, left = rng.integers(0, size - 4, 2)
            mask[n, 0, top : top + rng.integers(1, 5), left : left + rng.integers(1, 5)] = True
    # Centres of bins, so that bins lose nothing.
    place = np.clip(rng.normal(480 + 60 * mask, 60), 0, BINS - 1).astype(int)
    logits = (place + 0.5) / BINS * 20 - 10
    kind = np.arange(count) % 3
    return torch.from_numpy(logits), torch.from_numpy(mask), torch.from_numpy(kind)


def pro_by_definition(logits, masks, most=0.3):
    """Area under the per-region overlap, threshold by threshold and region by region."""
    regions = []
    for n in range(len(masks)):
        labels, found = ndimage.label(masks[n, 0], np.ones((3, 3)))
        regions += [logits[n, 0][labels == k] for k in range(1, found + 1)]
    thresholds = [np.inf, *np.unique(logits)[::-1]]
    rate = np.array([(logits[~masks] >= t).mean() for t in thresholds])
    overlap = np.array([np.mean([(r >= t).mean() for r in regions]) for t in thresholds])
    inside = rate <= most
    end = np.interp(most, rate, overlap)
    return np.trapezoid([*overlap[inside], end], [*rate[inside], most]) / most


@pytest.mark.parametrize('seed', range(4))
def test_summary_is_that_of_all_entries(seed):
    logits, mask, kind = pictures(seed)
    counts = MapCounts(3)
    for rows in torch.arange(6).split(4):
        counts.add(logits[rows], mask[rows], kind[rows])
    found = counts.summary(KINDS)
    x, y = logits.numpy(), mask.numpy()
    wins = stats.mannwhitneyu(x[y], x[~y]).statistic
    assert found['auroc'] == pytest.approx(wins / y.sum() / (~y).sum())
    assert found['iou'] == pytest.approx(((x > 0) & y).sum() / ((x > 0) | y).sum())
    assert found['aupro'] == pytest.approx(pro_by_definition(x, y))
    own_x, own_y = x[kind == 1], y[kind == 1]
    wanted = ((own_x > 0) & own_y).sum() / ((own_x > 0) | own_y).sum()
    assert found['iou_kind_b'] == pytest.approx(wanted)
    assert set(found) == {
        'auroc', 'iou', 'aupro', *(f'{m}_kind_{k}' for k in KINDS for m in ('auroc', 'iou'))
    }  # fmt: skip


def test_only_local_faults_of_known_kind_count():
    logits = torch.zeros(4, 2, 4)
    mask = torch.zeros(4, 2, 4, dtype=torch.bool)
    mask[0] = True  # everywhere: nothing to locate
    mask[1, 0] = True
    mask[2, 0] = True
    counts = MapCounts(3)
    counts.add(logits, mask, torch.tensor([0, 1, -1, 2]))
    assert counts.counts.sum(dim=(1, 2)).tolist() == [0, 8, 0]
    assert counts.counts[1].sum(dim=1).tolist() == [4, 4]
    assert not counts.regions.any()
    assert 'aupro' not in counts.summary(KINDS)
    assert MapCounts(3).summary(KINDS) == {}


def test_known_entries_are_left_out():
    logits = torch.tensor([[[9.0, 9.0, -9.0, -9.0]]])
    mask = torch.tensor([[[True, False, True, False]]])
    counts = MapCounts(3)
    counts.add(logits, mask, torch.tensor([0]), torch.tensor([[[False, True, True, False]]]))
    assert counts.counts.sum() == 2
    found = counts.summary(KINDS)
    assert (found['auroc'], found['iou']) == (1, 1)


def test_counts_of_processes_add_up():
    logits, mask, kind = pictures(7)
    whole, parts = MapCounts(3), [MapCounts(3), MapCounts(3)]
    whole.add(logits, mask, kind)
    for part, rows in zip(parts, (slice(0, 2), slice(2, None)), strict=True):
        part.add(logits[rows], mask[rows], kind[rows])
    assert merged(parts).summary(KINDS) == pytest.approx(whole.summary(KINDS))


@given(value=st.floats(0, 1, exclude_min=True, exclude_max=True))
def test_the_upper_half_of_the_bins_is_above_one_half(value):
    place = int(bins_of(torch.tensor(value, dtype=torch.float64).logit()))
    assert 0 <= place < BINS
    assert (place >= BINS // 2) == (value >= 0.5) or abs(value - 0.5) < 1e-6


def test_perfect_constant_and_inverted_maps():
    first, last = torch.zeros(BINS).long(), torch.zeros(BINS).long()
    first[0], last[-1] = 10, 5
    assert binned_auroc(first, last) == 1
    assert binned_auroc(last, first) == 0
    assert binned_auroc(first, first) == 0.5
    assert binned_iou(first, last) == 1
    assert binned_iou(first, first) == 0
    assert math.isnan(binned_auroc(first, 0 * last))
    assert math.isnan(binned_iou(first, 0 * last))
    assert per_region_overlap(first, last / 5) == pytest.approx(1)
    # Without any order the overlap grows with the rate, from 0 to the limit.
    assert per_region_overlap(first, first / 10) == pytest.approx(0.15)
    assert math.isnan(per_region_overlap(0 * first, last / 5))


@given(
    share=st.sampled_from([0.0, 0.1, 0.4, 0.6, 0.95, 1.0]),
    height=st.integers(1, 12),
    width=st.integers(1, 12),
    seed=st.integers(0, 30),
)
@settings(max_examples=80, deadline=None)
def test_regions_are_those_of_scipy(share, height, width, seed):
    generator = torch.Generator().manual_seed(seed)
    mask = torch.rand(3, height, width, generator=generator) < share
    found, total = label_regions(mask), 0
    for own, picture in zip(found, mask, strict=True):
        labels, count = ndimage.label(picture.numpy(), np.ones((3, 3)))
        pairs = set(zip(labels[picture.numpy()].tolist(), own[picture].tolist(), strict=True))
        assert len(pairs) == count == len(own[picture].unique())
        assert not own[~picture].any()
        total += count
    assert found.max() == total


def test_a_spiral_is_one_region():
    mask = torch.zeros(1, 41, 41, dtype=torch.bool)
    row, column, steps = 20, 20, 1
    for turn in range(36):
        down, right = ((0, 1), (1, 0), (0, -1), (-1, 0))[turn % 4]
        for _ in range(2 * steps):
            mask[0, row, column] = True
            row, column = row + down, column + right
        steps += turn % 2
    assert label_regions(mask).unique().tolist() == [0, 1]
