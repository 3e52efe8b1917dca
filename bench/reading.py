"""Windows per second from recordings on disk, against memory-mapped NumPy arrays.

    python bench/reading.py [--write]

Batches of 64 random windows of 1 s with 1 s of history are read without a cache of samples, from
episodes of 10 s of the `ur5` set: few episodes, which stay decoded in the chunk caches, and many,
which do not. Times are CPU times of one thread. The reference copies the same samples from
uncompressed arrays, which `numpy.load` maps into memory; they hold neither descriptions nor
checksums. The table is section "Reading" of docs/benchmarks.md.
"""

import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from common.page import MEASURED, ROOT, parser_of, put_section

from lipfault.data.episode import Episode
from lipfault.data.geometry import Geometry
from lipfault.data.recording import Recording
from lipfault.data.recording_set import RecordingSet
from lipfault.data.windows import WindowDataset
from lipfault.data.writer import Compression, write_recording

SECTION = 'Reading'
BATCH, EPISODE_S, SECONDS = 64, 10.0, 2.0
"""Windows in a batch, length of an episode, and CPU seconds of a measurement."""

COUNTS = (10, 80, 320)
COMPRESSIONS: tuple[Compression, ...] = ('none', 'lzf')


class Row(NamedTuple):
    """Rates for one number of episodes.

    Args:
        episodes: Number of episodes.
        rates: Windows per second by compression.
        mapped: Windows per second of memory-mapped arrays.
    """

    episodes: int
    rates: dict[str, float]
    mapped: float


def episodes(source: Recording, count: int) -> Iterator[Episode]:
    """Yield episodes, the first ones of a recording in turn.

    Args:
        source: The recording.
        count: Number of episodes.
    """
    parts = [
        {
            name: source.read(episode, name, 0, int(EPISODE_S * modality.rate_hz))
            for name, modality in source.modalities.items()
        }
        for episode in range(4)
    ]
    for number in range(count):
        yield Episode(f'{number:04d}', parts[number % len(parts)])


def rate(fetch: Callable[[np.ndarray], object], windows: int) -> float:
    """Return windows per CPU second of random batches.

    Args:
        fetch: Reads the windows with these numbers.
        windows: Number of windows.
    """
    rng = np.random.default_rng(0)
    done, end = 0, time.process_time() + SECONDS
    fetch(rng.integers(windows, size=BATCH))
    start = time.process_time()
    while time.process_time() < end:
        fetch(rng.integers(windows, size=BATCH))
        done += BATCH
    return done / (time.process_time() - start)


def fetched(dataset: WindowDataset, rows: np.ndarray) -> object:
    """Read windows from a recording.

    Args:
        dataset: The windows.
        rows: Their numbers.
    """
    return dataset.fetch(rows.tolist())


def mapped(
    source: Recording, dataset: WindowDataset, folder: Path
) -> Callable[[np.ndarray], object]:
    """Return a function that copies windows from memory-mapped arrays.

    Args:
        source: The recording whose samples they hold.
        dataset: Its windows.
        folder: Folder of the arrays.
    """
    arrays = {}
    for episode, info in enumerate(source.episodes):
        for name, length in info.lengths.items():
            path = folder / f'{episode}-{name}.npy'
            np.save(path, source.read(episode, name, 0, length))
            arrays[episode, name] = np.load(path, mmap_mode='r')
    geometry = dataset.geometry
    counts = {name: geometry.span(name).total for name in source.modalities}

    def fetch(chosen: np.ndarray) -> object:
        owners, numbers = dataset.episode[chosen], dataset.sample_id[chosen]
        numbers = numbers - dataset.sample_id[np.searchsorted(dataset.episode, owners)]
        stops = {name: geometry.stop(name, numbers) for name in counts}
        return [
            np.stack(
                [
                    arrays[owner, name][stop - count : stop]
                    for owner, stop in zip(owners.tolist(), stops[name].tolist(), strict=True)
                ]
            )
            for name, count in counts.items()
        ]

    return fetch


def row(count: int) -> Row:
    """Measure one number of episodes.

    Args:
        count: The number.
    """
    source = Recording(ROOT / 'data/ur5.h5')
    rates: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as name:
        for compression in COMPRESSIONS:
            path = Path(name) / f'{compression}.h5'
            modalities = list(source.modalities.values())
            write_recording(path, modalities, episodes(source, count), compression=compression)
            recordings = RecordingSet([path])
            geometry = Geometry(recordings.modalities, 1.0, 0.1, 1.0)
            dataset = WindowDataset(recordings, range(count), geometry)
            rates[compression] = rate(partial(fetched, dataset), len(dataset))
        fetch = mapped(Recording(path), dataset, Path(name))
        return Row(count, rates, rate(fetch, len(dataset)))


def report(rows: list[Row]) -> str:
    """Return the section of the page.

    Args:
        rows: Measurements.
    """
    lines = [
        f'## {SECTION}',
        '',
        f'{MEASURED} `python bench/reading.py`: windows of 1 s with 1 s of history per second of '
        f'CPU time, random batches of {BATCH}, no cache of samples, episodes of {EPISODE_S:g} s of '
        'the `ur5` set; one thread. The last column are uncompressed arrays without checksums, '
        'mapped into memory by NumPy. Up to some hundred episodes stay decoded in the chunk caches '
        '(256 MiB together).',
        '',
        f'| episodes | {" | ".join(f"`{each}`" for each in COMPRESSIONS)} | mapped NumPy |',
        f'|---|{"---|" * len(COMPRESSIONS)}---|',
    ]
    for each in rows:
        rates = ' | '.join(f'{each.rates[name]:.0f}' for name in COMPRESSIONS)
        lines.append(f'| {each.episodes} | {rates} | {each.mapped:.0f} |')
    return '\n'.join(lines) + '\n'


def main() -> None:
    """Measure and print the table; write it to the page on request."""
    options = parser_of(__doc__).parse_args()
    torch.set_num_threads(1)
    put_section(SECTION, report([row(count) for count in COUNTS]), options.write)


if __name__ == '__main__':
    main()
