"""Samples of a source, joined, for comparison with what a library reads by hand."""

from typing import Any

import numpy as np
import zarr

from lipfault.importers.source import Source


def joined(source: Source, episode: str, field: str) -> tuple[np.ndarray, np.ndarray]:
    """Return all stamps and values of a field of an episode."""
    chunks = list(source.read(episode, field))
    times = [chunk.times_s for chunk in chunks]
    return np.concatenate(times), np.concatenate([chunk.values for chunk in chunks])


def random_rows(count: int, seed: int = 0) -> np.ndarray:
    """Return the rows of 20 random samples."""
    return np.random.default_rng(seed).integers(0, count, 20)


def put(root: zarr.Group, name: str, array: np.ndarray, **options: Any) -> zarr.Array:
    """Write an array into a Zarr group."""
    stored = root.create_array(name, shape=array.shape, dtype=array.dtype, **options)
    stored[...] = array
    return stored
