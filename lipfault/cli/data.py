"""`lipfault data`: simulate, import, inspect and check recordings; make the long sets."""

from collections.abc import Callable
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.progress import track
from rich.table import Table

from lipfault import __version__
from lipfault.cells.long_sets import SETS, LongSet, compare
from lipfault.cells.registry import CELLS
from lipfault.cells.registry import simulate as simulate_cell
from lipfault.cells.set_files import (
    assemble,
    parts_path,
    require_plan,
    set_path,
    simulate_parts,
    verified,
)
from lipfault.cli.data_import import import_data
from lipfault.data.checking import missing_share, problems
from lipfault.data.recording import Recording
from lipfault.data.writer import Compression, write_recording
from lipfault.errors import LipfaultError
from lipfault.modality import Modality

# Exit status of a command that Ctrl-C has ended: 128 + SIGINT.
_INTERRUPTED = 130


def simulate(
    cell: str,
    out: str,
    episodes: int = 40,
    seed: int = 0,
    image_size: int = 64,
    episode_s: float = 30.0,
    compression: Compression = 'gzip',
    overwrite: bool = False,
    variety: float = 0.0,
    camera_bits: int = 5,
) -> None:
    """Simulate a robot cell and write its recording; needs the extra `simulate`.

    Args:
        cell: Name of the cell.
        out: HDF5 file to write.
        episodes: Number of episodes.
        seed: Seed of all random draws.
        image_size: Height and width of the camera's frames in pixels.
        episode_s: Length of an episode in seconds.
        compression: `gzip` is smallest, `lzf` reads fastest.
        overwrite: Whether an existing file may be replaced.
        variety: Variety of light, materials, clutter, camera pose and exposure between episodes:
            0 for the look of the shipped recordings, 1 for the full ranges.
        camera_bits: Bits of each colour of the camera, 5 or 8.

    Raises:
        LipfaultError: If there is no such cell, MuJoCo is missing, or the file cannot be written.
    """
    console = Console()
    modalities, stream = simulate_cell(
        cell, episodes=episodes, seed=seed, image_size=image_size, episode_s=episode_s,
        variety=variety, camera_bits=camera_bits,
    )  # fmt: skip
    attributes: dict[str, str | int | float] = {
        'cell': cell,
        'seed': seed,
        'episode_s': episode_s,
        'variety': variety,
        'camera_bits': camera_bits,
        'generator': f'lipfault {__version__}',
    }
    tracked = track(stream, f'Simulating {escape(cell)}', total=episodes, console=console)
    count = write_recording(
        out, modalities, tracked, attributes, compression=compression, overwrite=overwrite
    )
    size = Path(out).stat().st_size  # bytes
    console.print(
        f'{escape(out)}: {count} episodes of {episode_s:g} s, {size / 1e6:.2f} MB, '
        f'{size / count / episode_s / 1e3:.1f} kB for each second',
        soft_wrap=True,
    )


def benchmark(
    cell: str = 'all',
    set: str = 'all',
    folder: str = 'data/benchmark',
    hours: float | None = None,
    variety: float = 1.0,
    camera_bits: int = 8,
    image_size: int = 64,
    jobs: int = 1,
) -> None:
    """Make the long sets of the benchmark; needs the extra `simulate`.

    An interrupted run goes on with the next episode when it is started again; a finished set is
    verified.

    Args:
        cell: Name of the cell, or `all`.
        set: `train`, `calibration`, `test`, or `all`.
        folder: Folder of the files `<cell>-<set>.h5`.
        hours: Length of a set in hours; by default 1 for `calibration`, 2 for the others.
        variety: Variety of light, materials, clutter, camera pose and exposure between episodes:
            0 for the look of the shipped recordings, 1 for the full ranges.
        camera_bits: Bits of each colour of the camera, 5 (shipped recordings) or 8.
        image_size: Height and width of the camera's frames in pixels.
        jobs: Number of processes.

    Raises:
        LipfaultError: If there is no such cell or set, a number is out of its range, a file of
            other settings is in the way, MuJoCo is missing, or the folder is not writable.
    """
    cells = list(CELLS) if cell == 'all' else [cell]
    names = list(SETS) if set == 'all' else [set]
    # All settings are checked before the first episode.
    plans = [
        require_plan(LongSet(one, name, _hours(name, hours), image_size, variety, camera_bits))
        for one in cells
        for name in names
    ]
    for plan in plans:
        _make_set(plan, Path(folder), jobs, Console())


def _hours(name: str, hours: float | None) -> float:
    """Return the length of a set, h; an unknown name is rejected by `LongSet`."""
    known = SETS.get(name)
    return known.hours if hours is None and known is not None else (1.0 if hours is None else hours)


def _make_set(plan: LongSet, folder: Path, jobs: int, console: Console) -> None:
    """Make or verify one set, and print its size and checksums."""
    path = set_path(plan, folder)
    checksum, done = verified(plan, folder), 'verified'
    if checksum is None:
        _simulate_set(plan, folder, jobs, console)
        checksum, done = assemble(plan, folder), 'written'
    console.print(
        f'{escape(str(path))}: {done}, {plan.episodes} episodes of {plan.episode_s:g} s, '
        f'{path.stat().st_size / 1e6:.1f} MB, checksums {checksum.series} (series) '
        f'{checksum.images} (images)',
        soft_wrap=True,
    )
    console.print(escape(compare(plan, checksum)), soft_wrap=True)


def _simulate_set(plan: LongSet, folder: Path, jobs: int, console: Console) -> None:
    """Simulate the missing episodes of a set; end with a line at Ctrl-C."""
    parts, title = simulate_parts(plan, folder, jobs), f'Simulating {escape(plan.title)}'
    try:
        for _ in track(parts, title, total=plan.episodes, console=console):
            pass
    except KeyboardInterrupt:
        folder = parts_path(plan, folder)
        console.print(
            f'stopped; the finished episodes are in {escape(str(folder))}: '
            'the same command goes on',
            soft_wrap=True,
        )
        raise SystemExit(_INTERRUPTED) from None


def inspect(path: str) -> None:
    """Print attributes, modalities, channels and episodes of a recording; no signal is read.

    Args:
        path: The recording, an HDF5 file.

    Raises:
        LipfaultError: If the file is missing or no recording.
    """
    recording = Recording(path)
    console = Console()
    console.print(f'[bold]{escape(path)}[/bold]  {Path(path).stat().st_size / 1e6:.2f} MB')
    for key, value in recording.attributes.items():
        console.print(f'  {escape(str(key))}: {escape(str(value))}')
    console.print(_modality_table(recording.modalities, missing_share(recording)))
    for modality in recording.modalities.values():
        console.print(_channel_table(modality))
    console.print(_episode_table(recording))


def check(path: str) -> None:
    """Read a whole recording and print each signal that contradicts its description.

    Args:
        path: The recording, an HDF5 file.

    Raises:
        LipfaultError: If a signal does, or the file is no recording.
    """
    console = Console()
    recording = Recording(path)
    found = []
    # Printed as they are found: reading a large recording takes minutes.
    for problem in problems(recording):
        console.print(escape(problem), soft_wrap=True)
        found.append(problem)
    if found:
        raise LipfaultError(f'{path}: {len(found)} signals are faulty; the first: {found[0]}')
    seconds = sum(info.duration_s for info in recording.episodes)
    console.print(
        f'{escape(path)}: good, {len(recording.episodes)} episodes, {seconds:.1f} s, '
        f'{len(recording.modalities)} modalities',
        soft_wrap=True,
    )


def _modality_table(modalities: dict[str, Modality], missing: dict[str, float]) -> Table:
    """Return a table with a row for each modality."""
    table = Table('modality', 'kind', 'rate', 'channels', 'size', 'missing', title='Modalities')
    for name, modality in modalities.items():
        size = '' if modality.size is None else f'{modality.size[0]} x {modality.size[1]}'
        table.add_row(
            escape(name),
            modality.kind,
            f'{modality.rate_hz:g} Hz',
            str(len(modality.channels)),
            size,
            f'{missing[name]:.1%}',
        )
    return table


def _channel_table(modality: Modality) -> Table:
    """Return a table with a row for each channel: unit, physical range, sensor noise."""
    table = Table('channel', 'unit', 'low', 'high', 'noise', title=escape(modality.name))
    rows = zip(
        modality.channels, modality.units, modality.low, modality.high, modality.noise, strict=True
    )
    for channel, unit, low, high, noise in rows:
        table.add_row(escape(channel), escape(unit), f'{low:g}', f'{high:g}', f'{noise:.3g}')
    return table


def _episode_table(recording: Recording) -> Table:
    """Return a table with a row for each episode: length in seconds, samples by modality."""
    table = Table('episode', 'seconds', *map(escape, recording.modalities), title='Episodes')
    for info in recording.episodes:
        lengths = [str(info.lengths[name]) for name in recording.modalities]
        table.add_row(escape(info.episode_id), f'{info.duration_s:.2f}', *lengths)
    return table


COMMANDS: dict[str, Callable[..., None]] = {
    'simulate': simulate,
    'benchmark': benchmark,
    'inspect': inspect,
    'check': check,
    'import': import_data,
}
"""Subcommands by name."""
