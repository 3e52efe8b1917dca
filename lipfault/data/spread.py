"""Clean windows spread over all recordings."""

from functools import partial

import numpy as np

from lipfault.data.episode import EpisodeSource
from lipfault.data.geometry import Geometry
from lipfault.data.window_batch import Windows
from lipfault.data.windows import WindowDataset
from lipfault.errors import LipfaultError

# Episodes that are read: each costs a few chunks of every modality.
_EPISODES = 16


def spread_windows(source: EpisodeSource, geometry: Geometry, count: int) -> Windows:
    """Read windows without missing samples, evenly spread over the episodes.

    The windows depend on the recordings and the geometry alone, not on splits or seeds.

    Args:
        source: The recordings.
        geometry: Lengths of window, stride and history.
        count: Number of windows; they repeat where there are fewer.

    Returns:
        The windows.

    Raises:
        LipfaultError: If no episode holds a window without missing samples.
    """
    counts = [geometry.count(info.lengths) for info in source.episodes]
    usable = [position for position, found in enumerate(counts) if found]
    places = np.linspace(0, len(usable) - 1, min(_EPISODES, len(usable))).astype(int)
    dataset = partial(WindowDataset, source, geometry=geometry, cache='none', complete=True)
    chosen = dataset(sorted({usable[place] for place in places}))
    if not len(chosen):
        chosen = dataset(usable)
    if not len(chosen):
        raise LipfaultError(
            'the severity of faults is fitted on windows without missing samples, of which the '
            'recordings hold none; set data.faults.damage: null'
        )
    return chosen.fetch((np.arange(count) * len(chosen) // count).tolist())
