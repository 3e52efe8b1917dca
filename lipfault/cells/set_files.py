"""Make a long set episode by episode: interrupted runs go on, finished files are verified."""

import multiprocessing
import os
import signal
import tempfile
from collections.abc import Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from threading import Thread

from lipfault import __version__
from lipfault.cells.engine import load_mujoco
from lipfault.cells.long_sets import LongSet
from lipfault.cells.registry import CELLS, require_settings, simulate_episode
from lipfault.data.checking import problems
from lipfault.data.checksum import Checksum, combined, content_checksum, episode_checksum
from lipfault.data.episode import Episode
from lipfault.data.recording import Recording
from lipfault.data.writer import write_recording
from lipfault.errors import LipfaultError

_CHECKSUMS = ('checksum_series', 'checksum_images')


def require_plan(plan: LongSet) -> LongSet:
    """Reject a set with an unknown cell or settings out of their range.

    Args:
        plan: The set.

    Returns:
        The set.

    Raises:
        LipfaultError: If a setting is wrong; names it and what is right.
    """
    require_settings(plan.cell, plan.image_size, plan.episode_s, plan.variety, plan.camera_bits)
    return plan


def set_path(plan: LongSet, folder: Path) -> Path:
    """Return the path of the finished file.

    Args:
        plan: The set.
        folder: Folder of all sets.

    Returns:
        `<folder>/<cell>-<set>.h5`.
    """
    return folder / f'{plan.cell}-{plan.name}.h5'


def parts_path(plan: LongSet, folder: Path) -> Path:
    """Return the folder of the episodes of an unfinished set.

    Args:
        plan: The set.
        folder: Folder of all sets.

    Returns:
        `<folder>/<cell>-<set>.parts`.
    """
    return set_path(plan, folder).with_suffix('.parts')


def verified(plan: LongSet, folder: Path) -> Checksum | None:
    """Verify a finished set, and remove what an interrupted run left of its episodes.

    Args:
        plan: The set.
        folder: Folder of all sets.

    Returns:
        Checksums of the contents; `None` if the set is not finished.

    Raises:
        LipfaultError: If the file has other settings, or other contents than when it was written.
    """
    path = set_path(plan, folder)
    if not path.exists():
        return None
    recording = Recording(path)
    _require_settings(path, recording, {**plan.attributes, 'episodes': plan.episodes})
    checksum = content_checksum(recording)
    recording.close()
    written = tuple(recording.attributes.get(name) for name in _CHECKSUMS)
    if written != tuple(checksum):
        raise LipfaultError(
            f'{path}: the contents have changed since it was written: checksums {tuple(checksum)}, '
            f'expected {written}; remove the file to make it again'
        )
    _remove_parts(plan, folder)
    return checksum


def simulate_parts(plan: LongSet, folder: Path, jobs: int = 1) -> Iterator[int]:
    """Simulate the episodes of a set that are not on the disk, each into a file of its own.

    Args:
        plan: The set.
        folder: Folder of all sets; made if missing.
        jobs: Number of processes.

    Yields:
        The index of each episode when it is on the disk; first those of earlier runs.

    Raises:
        LipfaultError: If an episode on the disk has other settings, the folder is not writable, or
            a process ended unexpectedly.
    """
    if jobs < 1:
        raise LipfaultError(f'jobs must be at least 1, got {jobs}')
    _require_writable(parts_path(plan, folder))
    found = {index for index in range(plan.episodes) if _is_usable(plan, folder, index)}
    yield from sorted(found)
    missing = [index for index in range(plan.episodes) if index not in found]
    if jobs == 1 or len(missing) <= 1:
        for index in missing:
            yield make_part(plan, folder, index)
    else:
        yield from _in_processes(plan, folder, missing, jobs)


def make_part(plan: LongSet, folder: Path, index: int) -> int:
    """Simulate one episode and write its file.

    Args:
        plan: The set.
        folder: Folder of all sets.
        index: Index of the episode.

    Returns:
        The index.
    """
    options = {'image_size': plan.image_size, 'camera_bits': plan.camera_bits}
    episode = simulate_episode(
        plan.cell, plan.seed, index, episode_s=plan.episode_s, variety=plan.variety, **options
    )
    modalities = CELLS[plan.cell].modalities(variety=plan.variety, **options)
    path = _part(plan, folder, index)
    write_recording(path, modalities, [episode], _part_attributes(plan), overwrite=True)
    return index


def assemble(plan: LongSet, folder: Path) -> Checksum:
    """Write the finished file from the episodes on the disk, then remove these.

    Args:
        plan: The set.
        folder: Folder of all sets.

    Returns:
        Checksums of the contents.

    Raises:
        LipfaultError: If an episode is missing or damaged, or the file cannot be written.
    """
    paths = [_part(plan, folder, index) for index in range(plan.episodes)]
    checksum = combined([episode_checksum(Recording(path), 0) for path in paths])
    attributes = {
        **_part_attributes(plan), 'episodes': plan.episodes,
        **dict(zip(_CHECKSUMS, checksum, strict=True)),
    }  # fmt: skip
    modalities = CELLS[plan.cell].modalities(
        plan.image_size, variety=plan.variety, camera_bits=plan.camera_bits
    )
    target = set_path(plan, folder)
    write_recording(target, modalities, map(_episode, paths), attributes, compression='gzip')
    _remove_parts(plan, folder)
    return checksum


def _remove_parts(plan: LongSet, folder: Path) -> None:
    """Remove the files of the episodes, finished or not, and their folder if it is empty then."""
    parts = parts_path(plan, folder)
    for pattern in (f'{plan.cell}-*.h5', f'.{plan.cell}-*.tmp'):
        for path in parts.glob(pattern):
            path.unlink(missing_ok=True)
    if parts.is_dir() and not any(parts.iterdir()):
        parts.rmdir()


def _in_processes(plan: LongSet, folder: Path, missing: list[int], jobs: int) -> Iterator[int]:
    """Simulate episodes in several processes; yield each index when it is done."""
    # A forked process would share the OpenGL context.
    context = multiprocessing.get_context('spawn')
    pool = ProcessPoolExecutor(jobs, mp_context=context, initializer=_start_worker)
    try:
        futures = [pool.submit(make_part, plan, folder, index) for index in missing]
        for future in as_completed(futures):
            yield future.result()
    except BrokenProcessPool as error:
        raise LipfaultError(
            'a process ended unexpectedly, perhaps for lack of memory; the same command goes on '
            'where this one ended, with a smaller --jobs if need be'
        ) from error
    finally:
        # The episodes in progress end, the others are not started.
        pool.shutdown(cancel_futures=True)


def _start_worker() -> None:
    """Leave Ctrl-C to the main process, and end when it does: a killed one ends no others."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """Wait for the end of the main process, then end this one."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _part(plan: LongSet, folder: Path, index: int) -> Path:
    """Return the path of the file of one episode."""
    return parts_path(plan, folder) / f'{plan.cell}-{index:04d}.h5'


def _part_attributes(plan: LongSet) -> dict[str, str | int | float]:
    """Return settings and origin; an unfinished set must not mix versions."""
    generator = f'lipfault {__version__}, mujoco {load_mujoco().__version__}'
    return {**plan.attributes, 'generator': generator}


def _is_usable(plan: LongSet, folder: Path, index: int) -> bool:
    """Return whether the file of an episode is complete; reject one with other settings."""
    path = _part(plan, folder, index)
    if not path.exists():
        return False
    try:
        recording = Recording(path)
        damaged = next(problems(recording), None) is not None
        recording.close()
    except LipfaultError:
        return False
    _require_settings(path, recording, _part_attributes(plan))
    return not damaged


def _require_settings(path: Path, recording: Recording, settings: Mapping[str, object]) -> None:
    """Reject a file with other settings."""
    others = [
        f'{name} {recording.attributes.get(name)!r} instead of {value!r}'
        for name, value in settings.items()
        if recording.attributes.get(name) != value
    ]
    if others:
        raise LipfaultError(
            f'{path} has other settings: {", ".join(others)}; it is not overwritten: give another '
            'folder, or remove it'
        )


def _require_writable(folder: Path) -> None:
    """Make a folder and reject one that is not writable, before anything is simulated."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise LipfaultError(f'cannot write to {folder}: {error.strerror}') from error


def _episode(path: Path) -> Episode:
    """Read the episode of a file."""
    recording = Recording(path)
    info = recording.episodes[0]
    signals = {name: recording.read(0, name, 0, length) for name, length in info.lengths.items()}
    recording.close()
    return Episode(info.episode_id, signals, info.parameters)
