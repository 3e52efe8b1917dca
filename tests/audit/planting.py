"""Plant faults in copies of the episodes of a LeRobot v2.1 data set: parquet tables and MP4 films.

Nothing of lipfault is used here: what is planted is known from the source files alone.
Run as a script to audit a planted data set and print recall and false discoveries:
`python -m tests.audit.planting SOURCE FOLDER --seed 2 --half 1`.
"""

import argparse
import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

KINDS = (
    'stuck', 'frozen', 'delayed', 'desynchronized', 'swapped', 'saturated', 'drifting', 'dropped',
)  # fmt: skip
STATE, ACTION, FILM = 'observation.state', 'action', 'observation.images.cam_high'
LEAST_CHANGE = 0.25
"""Least root mean square change by a fault, in standard deviations of the channel."""

Table = dict[str, npt.NDArray[np.generic]]


@dataclass(frozen=True)
class Planted:
    """A planted fault.

    Args:
        episode: Number of the copy.
        original: Number of the episode that was copied.
        kind: One of `KINDS`.
        field: Column or film.
        channel: Channel number, None for the whole field.
        other: The channel it was exchanged with.
        start_s: Start, s.
        stop_s: End, s.
    """

    episode: int
    original: int
    kind: str
    field: str
    channel: int | None
    other: int | None
    start_s: float
    stop_s: float


def plant(
    source: Path, target: Path, originals: Sequence[int], count: int, seed: int
) -> list[Planted]:
    """Write a data set of the given episodes and `count` copies with one fault each.

    Args:
        source: A LeRobot v2.1 data set with one film.
        target: Folder to write.
        originals: Numbers of the episodes that are taken, untouched, and copied.
        count: Number of faults; kinds take turns.
        seed: Seed of all draws.

    Returns:
        The faults.
    """
    rng = np.random.default_rng(seed)
    info = json.loads((source / 'meta/info.json').read_text())
    tables = {number: read_table(source, info, number) for number in originals}
    spread = _spreads(tables)
    faults = []
    lengths = {}
    for number in originals:
        _place(source, target, info, number, number, tables[number], None)
        lengths[number] = len(tables[number]['timestamp'])
    for index in range(count):
        episode, kind = max(originals) + 1 + index, KINDS[index % len(KINDS)]
        while True:
            original = int(rng.choice(originals))
            frames = _frames(source, info, original) if kind == 'frozen' else None
            made = _FAULTS[kind](rng, tables[original], spread, frames, index // len(KINDS))
            if made is not None:
                break
        table, film, (field, channel, other, start, stop) = made
        fps = info['fps']
        _place(source, target, info, original, episode, table, film)
        lengths[episode] = len(table['timestamp'])
        faults.append(
            Planted(episode, original, kind, field, channel, other, start / fps, stop / fps)
        )
    _write_meta(source, target, info, lengths)
    return faults


def read_table(source: Path, info: dict, number: int) -> Table:
    """Return the columns of an episode."""
    path = source / info['data_path'].format(episode_chunk=0, episode_index=number)
    table = pq.read_table(path)
    columns = {}
    for name in table.column_names:
        values = table[name].to_numpy(zero_copy_only=False)
        columns[name] = np.stack(values) if values.dtype == object else values
    return columns


Made = tuple[Table, tuple[str, int, int] | None, tuple[str, int | None, int | None, int, int]]


def _stuck(rng, table, spread, frames, turn) -> Made | None:
    return _on_channel(rng, table, spread, lambda x, _: np.full_like(x, x[0]))


def _drifting(rng, table, spread, frames, turn) -> Made | None:
    size = rng.uniform(1, 2) * rng.choice([-1, 1])
    return _on_channel(rng, table, spread, lambda x, s: x + size * s * np.linspace(0, 1, len(x)))


def _delayed(rng, table, spread, frames, turn) -> Made | None:
    field, channel, start, stop = _stretch(rng, table)
    delay = int(rng.integers(6, 25))
    if start < delay:
        return None
    values = table[field][start - delay : stop - delay, channel]
    return _changed(table, spread, field, channel, start, stop, values)


def _saturated(rng, table, spread, frames, turn) -> Made | None:
    """Pin at the end of the range of all episodes, or clip inside, in turns."""
    field, channel, start, stop = _stretch(rng, table)
    x = table[field][start:stop, channel]
    if turn % 2:
        values = np.minimum(x, np.quantile(x, 0.6).astype(x.dtype))
    else:
        end = spread['high' if rng.random() < 0.5 else 'low'][field][channel]
        values = np.full_like(x, end)
    return _changed(table, spread, field, channel, start, stop, values)


def _swapped(rng, table, spread, frames, turn) -> Made | None:
    field, channel, start, stop = _stretch(rng, table)
    # Arm joints among themselves, fingers among themselves: a wrong plug or a wrong index.
    group = range(14) if channel < 14 else range(14, 26)
    other = int(rng.choice([each for each in group if each != channel]))
    x = table[field]
    changes = [
        np.sqrt(np.mean((x[start:stop, channel] - x[start:stop, other]) ** 2))
        / spread['std'][field][each]
        for each in (channel, other)
    ]
    if min(changes) < LEAST_CHANGE:
        return None
    new = x.copy()
    new[start:stop, [channel, other]] = x[start:stop, [other, channel]]
    return {**table, field: new}, None, (field, channel, other, start, stop)


def _frozen(rng, table, spread, frames, turn) -> Made | None:
    length = len(frames)
    stretch = int(rng.integers(15, length // 2))
    start = int(rng.integers(5, length - stretch - 5))
    part = frames[start : start + stretch].astype(np.float32)
    if np.abs(np.diff(part, axis=0)).mean() < 0.5:  # grey levels: the scene is at rest
        return None
    return (
        dict(table),
        ('freeze', start, start + stretch),
        (FILM, None, None, start, start + stretch),
    )


def _desynchronized(rng, table, spread, frames, turn) -> Made | None:
    """Shift film or state against the rest by 0.4 to 1 s; both ends are cut."""
    shift = int(rng.integers(12, 31))
    length = len(table['timestamp'])
    cut = {key: values[: length - shift] for key, values in table.items()}
    late = {key: values[shift:] for key, values in table.items()}
    keys = (STATE, ACTION) if turn % 2 == 0 else (ACTION,)
    # The film, or the state with the film as it was, shows what was `shift` frames earlier.
    new = {**cut, **{key: late[key] for key in keys}}
    if turn % 2 == 0:
        return new, ('cut', 0, length - shift), (FILM, None, None, 0, length - shift)
    return new, ('cut', shift, length), (STATE, None, None, 0, length - shift)


def _dropped(rng, table, spread, frames, turn) -> Made | None:
    """Remove rows; the stamps of the rest stay."""
    length = len(table['timestamp'])
    stretch = int(rng.integers(15, 60))
    start = int(rng.integers(10, length - stretch - 10))
    keep = np.r_[0:start, start + stretch : length]
    new = {key: values[keep] for key, values in table.items()}
    return new, None, (STATE, None, None, start, start + stretch)


_FAULTS: dict[str, Callable[..., Made | None]] = {
    'stuck': _stuck, 'frozen': _frozen, 'delayed': _delayed, 'desynchronized': _desynchronized,
    'swapped': _swapped, 'saturated': _saturated, 'drifting': _drifting, 'dropped': _dropped,
}  # fmt: skip


def _stretch(rng, table) -> tuple[str, int, int, int]:
    """Return field, channel and a stretch of at least 15 frames, 0.5 s."""
    field = STATE if rng.random() < 0.8 else ACTION
    length = len(table['timestamp'])
    stretch = int(rng.integers(15, length // 2))
    start = int(rng.integers(5, length - stretch - 5))
    return field, int(rng.integers(table[field].shape[1])), start, start + stretch


def _on_channel(rng, table, spread, change) -> Made | None:
    field, channel, start, stop = _stretch(rng, table)
    x = table[field][start:stop, channel]
    values = change(x, spread['std'][field][channel]).astype(x.dtype)
    return _changed(table, spread, field, channel, start, stop, values)


def _changed(table, spread, field, channel, start, stop, values) -> Made | None:
    """Return the changed table, None where the fault would hardly change a reading."""
    x = table[field]
    size = np.sqrt(np.mean((values - x[start:stop, channel]) ** 2))
    if size < LEAST_CHANGE * spread['std'][field][channel]:
        return None
    new = x.copy()
    new[start:stop, channel] = values
    return {**table, field: new}, None, (field, channel, None, start, stop)


def _spreads(tables: dict[int, Table]) -> dict[str, dict[str, npt.NDArray]]:
    pooled = {
        field: np.concatenate([t[field] for t in tables.values()]) for field in (STATE, ACTION)
    }
    return {
        'std': {field: values.std(axis=0) for field, values in pooled.items()},
        'low': {field: values.min(axis=0) for field, values in pooled.items()},
        'high': {field: values.max(axis=0) for field, values in pooled.items()},
    }


def _film(root: Path, info: dict, number: int) -> Path:
    return root / info['video_path'].format(episode_chunk=0, episode_index=number, video_key=FILM)


def _frames(source: Path, info: dict, number: int) -> npt.NDArray[np.uint8]:
    with av.open(str(_film(source, info, number))) as container:
        return np.stack([f.to_ndarray(format='rgb24') for f in container.decode(video=0)])


def _place(source, target, info, original, episode, table, film) -> None:
    """Write table and film of an episode; an untouched film is linked."""
    table = dict(table)
    length = len(table['timestamp'])
    if film is not None and film[0] == 'cut':
        table['timestamp'] = (np.arange(length) / info['fps']).astype(np.float32)
        table['frame_index'] = np.arange(length)
    table['episode_index'] = np.full(length, episode, np.int64)
    path = target / info['data_path'].format(episode_chunk=0, episode_index=episode)
    path.parent.mkdir(parents=True, exist_ok=True)
    columns = {
        key: pa.FixedSizeListArray.from_arrays(pa.array(values.ravel()), values.shape[1])
        if values.ndim == 2
        else pa.array(values)
        for key, values in table.items()
    }
    pq.write_table(pa.table(columns), path)
    film_path = _film(target, info, episode)
    film_path.parent.mkdir(parents=True, exist_ok=True)
    if film is None:
        film_path.symlink_to(_film(source, info, original).resolve())
        return
    frames = _frames(source, info, original)
    if film[0] == 'freeze':
        frames[film[1] : film[2]] = frames[film[1]]
    else:
        frames = frames[film[1] : film[2]]
    write_film(film_path, frames, info['fps'])


def write_film(path: Path, frames: npt.NDArray[np.uint8], fps: int) -> None:
    """Encode frames with H.264 at the usual quality."""
    with av.open(str(path), 'w') as container:
        stream = container.add_stream('libx264', rate=fps)
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt, stream.options = 'yuv420p', {'crf': '18', 'threads': '1'}
        for each in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(each, format='rgb24')))
        container.mux(stream.encode())


def _write_meta(source: Path, target: Path, info: dict, lengths: dict[int, int]) -> None:
    (target / 'meta').mkdir(parents=True, exist_ok=True)
    info = {
        **info, 'total_episodes': len(lengths), 'total_frames': sum(lengths.values()),
        'total_videos': len(lengths), 'splits': {'train': f'0:{len(lengths)}'},
    }  # fmt: skip
    (target / 'meta/info.json').write_text(json.dumps(info))
    shutil.copy(source / 'meta/tasks.jsonl', target / 'meta/tasks.jsonl')
    lines = [
        json.dumps({'episode_index': number, 'tasks': ['move'], 'length': length})
        for number, length in sorted(lengths.items())
    ]
    (target / 'meta/episodes.jsonl').write_text('\n'.join(lines) + '\n')


def score(faults: Sequence[Planted], findings: Sequence[dict], names: dict[str, str]) -> dict:
    """Compare findings with what was planted.

    A fault is found if a finding names its episode and sensor (either of two exchanged channels,
    any channel of a shifted modality) and overlaps it in time. A finding is false if it names an
    episode without a fault, or a sensor that was not touched.

    Args:
        faults: The planted faults.
        findings: Entries of `findings` of the audit's JSON, with integer `episode` and `channel`.
        names: Modality of each field.

    Returns:
        `found`, `named` (with the planted kind), `false` and `total`, and the lists behind them.
    """
    found, named, false = set(), set(), []
    for finding in findings:
        hits = [
            index
            for index, fault in enumerate(faults)
            if fault.episode == finding['episode'] and _names(fault, finding, names)
        ]
        found.update(hits)
        named.update(i for i in hits if _same_kind(faults[i].kind, finding))
        if not hits:
            false.append(finding)
    return {
        'planted': len(faults), 'found': len(found), 'named': len(named), 'total': len(findings),
        'false': len(false), 'false_findings': false,
        'missed': [asdict(fault) for i, fault in enumerate(faults) if i not in found],
    }  # fmt: skip


def _names(fault: Planted, finding: dict, names: dict[str, str]) -> bool:
    if finding['start_s'] > fault.stop_s + 0.5 or finding['stop_s'] < fault.start_s - 0.5:
        return False
    # Rows of a table hold state and commands: both miss them.
    fields = [STATE, ACTION] if fault.kind == 'dropped' else [fault.field]
    if finding['modality'] not in [names[field] for field in fields]:
        return False
    if fault.channel is None:
        return True
    return bool({finding['channel'], finding['other']} & {fault.channel, fault.other} - {None})


def _same_kind(kind: str, finding: dict) -> bool:
    alike = {'saturated': {'saturated', 'clipped'}}.get(kind, {kind})
    return finding['kind'] in alike or bool(alike & set(finding['also']))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument('source', type=Path)
    parser.add_argument('folder', type=Path)
    parser.add_argument('--seed', type=int, default=1)
    parser.add_argument('--half', type=int, default=0)
    parser.add_argument('--faults', type=int, default=60)
    parser.add_argument('--rate', type=float, default=0.05)
    given = parser.parse_args()
    numbers = sorted(int(path.stem[-6:]) for path in given.source.glob('data/*/*.parquet'))
    faults = plant(given.source, given.folder, numbers[given.half :: 2], given.faults, given.seed)
    (given.folder / 'planted.json').write_text(json.dumps([asdict(f) for f in faults], indent=1))
    print(json.dumps(audited(given.folder, faults, given.rate), indent=1))


def audited(folder: Path, faults: Sequence[Planted], rate: float) -> dict:
    """Audit a planted data set, and score the findings."""
    from lipfault.audit.examine import examine
    from lipfault.audit.opening import load_tracks
    from lipfault.audit.wording import as_json

    tracks = load_tracks([folder])
    report = as_json(examine(tracks, rate))
    (folder / 'audit.json').write_text(json.dumps(report, indent=1))
    findings = [_plain(tracks, finding) for finding in report['findings']]
    return score(faults, findings, modality_names(tracks.modalities))


def modality_names(modalities) -> dict[str, str]:
    """Return the modality that the import makes of each field."""
    found = {}
    for field in (STATE, ACTION, FILM):
        words = field.replace('observation.', '').replace('images.', '').replace('.', '_')
        found[field] = next(n for n in modalities if n.endswith(words) or words.endswith(n))
    return found


def _plain(tracks, finding: dict) -> dict:
    """Return a finding with numbers in the place of names."""
    channels = list(tracks.modalities[finding['modality']].channels)
    other = finding['detail'].get('with')
    return {
        **finding,
        'episode': int(''.join(filter(str.isdigit, finding['episode']))),
        'channel': None if finding['channel'] is None else channels.index(finding['channel']),
        'other': None if other is None else channels.index(other.split('.', 1)[1]),
    }


if __name__ == '__main__':
    main()
