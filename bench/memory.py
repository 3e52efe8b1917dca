"""Peak memory of training against the size of the data set.

    python bench/memory.py [--write]

Writes recordings of the size of the shipped `ur5` set, and several times as large. Trains some
steps of stage 1 on each with `data.cache: none`, in a process whose maximum resident set size is
read from the system. The smaller set is also trained with `cache: all`, which holds a split in
memory and is limited by `data.cache_limit_gb`. The table is section "Memory" of
docs/benchmarks.md.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from common.page import MEASURED, ROOT, parser_of, put_section
from common.sensors import camera, joints

from lipfault.data.episode import Episode
from lipfault.data.writer import write_recording

SECTION = 'Memory'
RATE_HZ, FRAMES_HZ, SIDE, CHANNELS, DURATION_S = 100.0, 10.0, 64, 14, 30.0
"""Sizes of the `ur5` cell: 14 series channels, frames of 64 x 64 pixels, episodes of 30 s."""

UR5_MB = 219
"""Size in memory of the shipped `ur5` set."""

TIMES = 6
"""Ratio of the sizes of the larger and the smaller set."""

STEPS = 20


def episode(number: int) -> Episode:
    """Return an episode of swinging joints and a bright spot that follows two of them.

    Args:
        number: Seed and name of the episode.
    """
    draw = np.random.default_rng(number)
    rate, phase = draw.uniform(0.1, 0.5, CHANNELS), draw.uniform(0, 6, CHANNELS)

    def angles(rate_hz: float) -> np.ndarray:
        turns = np.arange(round(DURATION_S * rate_hz))[:, None] / rate_hz * rate
        return np.sin(2 * np.pi * turns + phase)

    # Sensor noise of 0.002 rad, as the modality declares it.
    series = angles(RATE_HZ) + draw.normal(0, 0.002, (round(DURATION_S * RATE_HZ), CHANNELS))
    # Squared distances to the spot along rows and columns, (frame, side) each.
    row, column = np.linspace(-1.5, 1.5, SIDE) - angles(FRAMES_HZ).T[:2, :, None]
    spot = 200 * np.exp(-8 * row**2)[:, :, None] * np.exp(-8 * column**2)[:, None]
    frames = np.repeat(spot[..., None], 3, axis=3) + draw.uniform(0, 20, (*spot.shape, 3))
    return Episode(
        f'swing-{number:04d}',
        {'camera': frames.astype(np.uint8), 'joints': series.astype(np.float32)},
        parameters={},
    )


def size_mb(episodes: int) -> float:
    """Return the size of some episodes in memory, in MB.

    Args:
        episodes: Number of episodes.
    """
    frame, step = 3 * SIDE**2, 4 * CHANNELS
    return 1e-6 * episodes * DURATION_S * (FRAMES_HZ * frame + RATE_HZ * step)


def written(folder: Path, episodes: int) -> Path:
    """Write a recording, one episode in memory at a time, and return its path.

    Args:
        folder: Folder of the recording.
        episodes: Number of episodes.
    """
    path = folder / f'{episodes}.h5'
    sensors = [camera(SIDE, FRAMES_HZ), joints('joints', CHANNELS, RATE_HZ)]
    write_recording(path, sensors, map(episode, range(episodes)), {'cell': 'swing'})
    return path


def peak_mb(recording: Path, run: Path, cache: str) -> float:
    """Return the maximum resident set size in MB of a process that trains some steps.

    Args:
        recording: Path of the recording.
        run: Folder of the run.
        cache: Value of `data.cache`.
    """
    args = [
        '--config', f'{ROOT}/configs/pretrain.yaml',
        '--config', f'{ROOT}/experiments/small/pretrain.yaml', '--run', str(run),
        f'--data.path={recording}', f'--data.cache={cache}', '--data.batch_size=64',
        '--data.splits={pretrain: 0.8, calibration: 0.1, test: 0.1}',
        f'--trainer.max_steps={STEPS}', '--trainer.limit_val_batches=0',
    ]  # fmt: skip
    process = subprocess.Popen(
        [sys.executable, '-m', 'lipfault', 'fit', *args],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        env=os.environ | {'OMP_NUM_THREADS': '1', 'PYTHONPATH': str(ROOT)},
    )  # fmt: skip
    # `wait4` gives the usage of this child alone, unlike `getrusage(RUSAGE_CHILDREN)`.
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f'lipfault fit failed on {recording}')
    return usage.ru_maxrss / 1024  # KiB on Linux


def report(rows: list[tuple[int, str, float]]) -> str:
    """Return the section of the page.

    Args:
        rows: Number of episodes, value of `data.cache` and peak memory in MB.
    """
    first = rows[0][2]
    lines = [
        f'## {SECTION}',
        '',
        f'{MEASURED} `python bench/memory.py`, in `make bench`: maximum resident set size of '
        f'`lipfault fit` over {STEPS} steps of stage 1 with small networks, on synthetic '
        f'recordings; the shipped `ur5` set takes {UR5_MB} MB in memory.',
        '',
        '| data set | cache | peak memory | difference to the first row |',
        '|---|---|---|---|',
    ]
    lines += [
        f'| {size_mb(episodes):.0f} MB | `{cache}` | {peak:.0f} MB | {peak - first:+.0f} MB |'
        for episodes, cache, peak in rows
    ]
    return '\n'.join(lines) + '\n'


def main() -> None:
    """Measure and print the table; write it to the page on request."""
    options = parser_of(__doc__).parse_args()
    base = round(UR5_MB / size_mb(1))
    rows = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for episodes, cache in ((base, 'none'), (TIMES * base, 'none'), (base, 'all')):
            path = folder / f'{episodes}.h5'
            path = path if path.exists() else written(folder, episodes)
            rows.append((episodes, cache, peak_mb(path, folder / f'{episodes}-{cache}', cache)))
            print(*rows[-1], flush=True)
    put_section(SECTION, report(rows), options.write)


if __name__ == '__main__':
    main()
