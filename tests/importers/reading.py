"""Samples of a source, joined, for comparison with what a library reads by hand."""

import numpy as np

from lipfault.importers.source import Source


def joined(source: Source, episode: str, field: str) -> tuple[np.ndarray, np.ndarray]:
    """Return all stamps and values of a field of an episode."""
    chunks = list(source.read(episode, field))
    times = [chunk.times_s for chunk in chunks]
    return np.concatenate(times), np.concatenate([chunk.values for chunk in chunks])


def random_rows(count: int, seed: int = 0) -> np.ndarray:
    """Return the rows of 20 random samples."""
    return np.random.default_rng(seed).integers(0, count, 20)
