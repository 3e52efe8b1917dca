"""Peak memory of training against the size of the data set.

    python bench/memory.py [--write]

Writes recordings of the size of the shipped `ur5` set, and several times as large, and trains some
steps of stage 1 on each with `data.cache: none`, in a process of its own whose largest resident
set is read from the system. For comparison the small one is trained with `cache: all`, too, which
holds a split in memory and refuses to exceed `data.cache_limit_gb`. The table goes into
docs/benchmarks.md, section "Memory".
"""

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from lipfault.data.episode import Episode
from lipfault.data.writer import write_recording
from lipfault.modality import Modality

ROOT = Path(__file__).parents[1]
PAGE = ROOT / 'docs/benchmarks.md'
SECTION = 'Memory'
RATE_HZ, FRAMES_HZ, SIDE, CHANNELS, DURATION_S = 100.0, 10.0, 64, 14, 30.0
UR5_MB = 219
TIMES = 6
STEPS = 20


def sensors() -> list[Modality]:
    """A camera and the joints of an arm."""
    camera = Modality(
        'camera', 'image', FRAMES_HZ, ('r', 'g', 'b'), ('1',) * 3, (0.0,) * 3, (1.0,) * 3,
        (0.01,) * 3, (SIDE, SIDE),
    )  # fmt: skip
    joints = Modality(
        'joints', 'series', RATE_HZ, tuple(f'q{n}' for n in range(CHANNELS)), ('rad',) * CHANNELS,
        (-3.0,) * CHANNELS, (3.0,) * CHANNELS, (0.002,) * CHANNELS,
    )  # fmt: skip
    return [camera, joints]


def episode(number: int) -> Episode:
    """Joints swing, and a spot in the picture follows two of them."""
    draw = np.random.default_rng(number)
    rate, phase = draw.uniform(0.1, 0.5, CHANNELS), draw.uniform(0, 6, CHANNELS)

    def angles(rate_hz: float) -> np.ndarray:
        turns = np.arange(round(DURATION_S * rate_hz))[:, None] / rate_hz * rate
        return np.sin(2 * np.pi * turns + phase)

    joints = angles(RATE_HZ) + draw.normal(0, 0.002, (round(DURATION_S * RATE_HZ), CHANNELS))
    row, column = np.linspace(-1.5, 1.5, SIDE) - angles(FRAMES_HZ).T[:2, :, None]
    spot = 200 * np.exp(-8 * row**2)[:, :, None] * np.exp(-8 * column**2)[:, None]
    frames = np.repeat(spot[..., None], 3, axis=3) + draw.uniform(0, 20, (*spot.shape, 3))
    return Episode(
        f'swing-{number:04d}',
        {'camera': frames.astype(np.uint8), 'joints': joints.astype(np.float32)},
        parameters={},
    )


def size_mb(episodes: int) -> float:
    """Size of so many episodes in memory."""
    frame, step = 3 * SIDE**2, 4 * CHANNELS
    return 1e-6 * episodes * DURATION_S * (FRAMES_HZ * frame + RATE_HZ * step)


def written(folder: Path, episodes: int) -> Path:
    """A recording of so many episodes, one of them in memory at a time."""
    path = folder / f'{episodes}.h5'

    def all_episodes() -> Iterator[Episode]:
        yield from map(episode, range(episodes))

    write_recording(path, sensors(), all_episodes(), {'cell': 'swing'})
    return path


def peak_mb(recording: Path, run: Path, cache: str) -> float:
    """Largest resident set of a process that trains some steps."""
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
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f'lipfault fit failed on {recording}')
    return usage.ru_maxrss / 1024


def report(rows: list[tuple[int, str, float]]) -> str:
    """The section of the page."""
    first = rows[0][2]
    lines = [
        f'## {SECTION}',
        '',
        f'`python bench/memory.py` (in `make bench`): largest resident set of `lipfault fit`, '
        f'{STEPS} steps of stage 1 with small networks on written recordings; the shipped `ur5` '
        f'set has {UR5_MB} MB in memory. Load of the machine does not matter here.',
        '',
        '| data set | cache | peak memory | beside the first row |',
        '|---|---|---|---|',
    ]
    lines += [
        f'| {size_mb(episodes):.0f} MB | `{cache}` | {peak:.0f} MB | {peak - first:+.0f} MB |'
        for episodes, cache, peak in rows
    ]
    return '\n'.join(lines) + '\n'


def put_section(text: str) -> None:
    """Replace the section in the page, or append it."""
    before, _, rest = PAGE.read_text().partition(f'## {SECTION}\n')
    _, mark, after = rest.partition('\n## ')
    PAGE.write_text(before.rstrip() + '\n\n' + text + (mark + after if mark else ''))


def main() -> None:
    """Run everything; print the table and, if wanted, put it into the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--write', action='store_true', help='put it into docs/benchmarks.md')
    options = parser.parse_args()
    base = round(UR5_MB / size_mb(1))
    rows = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for episodes, cache in ((base, 'none'), (TIMES * base, 'none'), (base, 'all')):
            path = folder / f'{episodes}.h5'
            path = path if path.exists() else written(folder, episodes)
            rows.append((episodes, cache, peak_mb(path, folder / f'{episodes}-{cache}', cache)))
            print(*rows[-1], flush=True)
    text = report(rows)
    print(text)
    if options.write:
        put_section(text)


if __name__ == '__main__':
    main()
