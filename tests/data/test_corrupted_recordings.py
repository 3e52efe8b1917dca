"""Damaged bytes of a recording give an error or change nothing, never another value."""

import h5py
import numpy as np
import pytest

from lipfault.data.checking import problems
from lipfault.data.episode import Episode
from lipfault.data.recording import Recording
from lipfault.data.writer import write_recording
from lipfault.errors import LipfaultError

EACH = 9
"""Corruptions of each kind and compression: 8 kinds and 3 compressions make 216."""

COMPRESSIONS = ('none', 'lzf', 'gzip')
STRIDE = 37
"""Samples read at once: windows that do not fit the chunks."""


def _flip(data, random, chunks):
    place = random.integers(len(data))
    data[place] ^= 1 << random.integers(8)


def _flip_sample(data, random, chunks):
    start, size = chunks[random.integers(len(chunks))]
    data[start + random.integers(size)] ^= 1 << random.integers(8)


def _scribble(data, random, chunks):
    start, size = random.integers(len(data)), random.integers(1, 200)
    data[start : start + size] = random.bytes(len(data[start : start + size]))


def _blank(data, random, chunks):
    """Write zeros, as a hole in a file system gives; half of the time over whole chunks."""
    start, size = random.integers(len(data)), random.choice([16, 512, 4096])
    if random.integers(2):
        start, size = chunks[random.integers(len(chunks))]
    data[start : start + size] = bytes(len(data[start : start + size]))


def _swap(data, random, chunks):
    """Exchange two blocks, half of the time whole chunks of equal size."""
    size = int(random.choice([16, 512, 4096]))
    one, other = (size * int(n) for n in random.integers(len(data) // size, size=2))
    if random.integers(2):
        one, size = chunks[random.integers(len(chunks))]
        equal = [start for start, length in chunks if length == size and start != one]
        other = equal[random.integers(len(equal))] if equal else one
    data[one : one + size], data[other : other + size] = (
        data[other : other + size],
        data[one : one + size],
    )


def _truncate(data, random, chunks):
    del data[random.integers(len(data)) :]


def _cut(data, random, chunks):
    start = random.integers(len(data))
    del data[start : start + random.integers(1, 100)]


def _insert(data, random, chunks):
    start = random.integers(len(data))
    data[start:start] = random.bytes(random.integers(1, 100))


KINDS = (_flip, _flip_sample, _scribble, _blank, _swap, _truncate, _cut, _insert)


@pytest.fixture(scope='module')
def healthy(tmp_path_factory, tiny_modalities, tiny_episodes):
    """Write one recording with missing samples for each compression."""
    folder, present = tmp_path_factory.mktemp('healthy'), np.ones(300, bool)
    present[100:140] = False
    short = [
        Episode(
            episode.episode_id,
            {name: signal[: len(signal) // 2] for name, signal in episode.signals.items()},
            episode.parameters,
            {'force': present[:150]},
        )
        for episode in tiny_episodes[:2]
    ]
    for compression in COMPRESSIONS:
        write_recording(
            folder / f'{compression}.h5',
            list(tiny_modalities.values()),
            short,
            {'cell': 'tiny', 'seed': 3},
            compression=compression,
        )
    return folder


def contents(path):
    """Return all that a reader gets of a recording: descriptions, samples and masks."""
    recording = Recording(path)
    parts = [recording.attributes, recording.modalities, recording.episodes]
    for number, info in enumerate(recording.episodes):
        for name, length in info.lengths.items():
            for start in range(0, length, STRIDE):
                stop = min(start + STRIDE, length)
                mask = recording.present(number, name, start, stop)
                parts.append(recording.read(number, name, start, stop).tobytes())
                parts.append(None if mask is None else mask.tobytes())
    recording.close()
    return parts


def outcome(path):
    """Return contents and no message, or no contents and the message of the error."""
    try:
        return contents(path), ''
    except LipfaultError as error:
        return None, str(error)


def chunks_of(path):
    """Return place and size of each chunk in the file."""
    with h5py.File(path) as file:
        arrays = [array for group in file['episodes'].values() for array in group.values()]
        infos = [a.id.get_chunk_info(n) for a in arrays for n in range(a.id.get_num_chunks())]
    return [(info.byte_offset, info.size) for info in infos]


@pytest.mark.parametrize('compression', COMPRESSIONS)
@pytest.mark.parametrize('kind', KINDS, ids=lambda kind: kind.__name__.strip('_'))
def test_a_corruption_is_an_error_or_changes_nothing(healthy, tmp_path, kind, compression):
    source = healthy / f'{compression}.h5'
    expected, chunks = contents(source), chunks_of(source)
    for seed in range(EACH):
        data = bytearray(source.read_bytes())
        kind(data, np.random.default_rng([KINDS.index(kind), seed]), chunks)
        path = tmp_path / 'healthy.h5'
        path.write_bytes(data)
        path = path.rename(tmp_path / source.name)
        found, message = outcome(path)
        if found is None:
            assert str(path) in message
            assert '\n' not in message
        else:
            assert found == expected, f'seed {seed}'
            assert list(problems(Recording(path))) == []
