"""Missing samples: gaps are facts, their p-value says how unusual they are in the data set."""

import numpy as np
import numpy.typing as npt

from lipfault.audit.findings import Candidate
from lipfault.audit.types import Array, Tracks

# Missing samples that every recording is given credit for: a data set without a gap has a small
# probability of one, not none.
_PRIOR = 0.5


def gap_candidates(tracks: Tracks) -> tuple[list[Candidate], Array]:
    """Return the longest gap of each modality and episode, and its p-value.

    The p-value is the probability of a gap as long anywhere in the episode if each sample were
    missing independently at the rate of the other episodes.

    Args:
        tracks: The data set.

    Returns:
        A candidate for each modality and episode, and (candidates,) p-values.
    """
    found, p = [], []
    for name, modality in tracks.modalities.items():
        masks = [episode[name].present for episode in tracks.tracks]
        missing = np.array([int((~mask).sum()) for mask in masks])
        lengths = np.array([len(mask) for mask in masks])
        for index, mask in enumerate(masks):
            start, stop = longest(~mask)
            others = np.arange(len(masks)) != index
            rate = (_missing_elsewhere(missing[others]) + _PRIOR) / (lengths[others].sum() + 1)
            rate = min(rate, 1.0) if others.any() else _PRIOR / (len(mask) + 1)
            samples = stop - start
            p.append(min(1.0, len(mask) * rate**samples) if samples else 1.0)
            detail = {'samples': int(missing[index]), 'share': float(np.mean(~mask))}
            times = start / modality.rate_hz, stop / modality.rate_hz
            found.append(Candidate('dropped', index, name, None, samples, *times, detail))
    return found, np.maximum(np.array(p), 1e-300)


def longest(mask: npt.NDArray[np.bool_]) -> tuple[int, int]:
    """Return start and end of the longest stretch of true values, (0, 0) without one.

    Args:
        mask: (samples,) bool.
    """
    edges = np.diff(np.r_[0, mask.astype(np.int8), 0])
    starts, stops = np.flatnonzero(edges == 1), np.flatnonzero(edges == -1)
    if not len(starts):
        return 0, 0
    best = int((stops - starts).argmax())
    return int(starts[best]), int(stops[best])


def _missing_elsewhere(missing: npt.NDArray[np.int_]) -> float:
    """Return the number of missing samples of other episodes, the worst three left out."""
    return float(np.sort(missing)[: max(len(missing) - 3, 0)].sum())
