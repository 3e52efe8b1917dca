"""Tiny LeRobot data sets, written by pyarrow and PyAV as the published ones are."""

import json

import av
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

FPS, SIZE = 10, (32, 48)
NAMES = ['shoulder', 'elbow', 'gripper']
CAMERA = 'observation.images.top'
LFS = 'version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 12\n'


def numbers(episode, length):
    """(length, 3) float32: smooth joints, and a gripper in steps of 0.01."""
    time = np.arange(length)[:, None] / FPS
    values = np.sin(time * [1.0, 1.7, 0.6] + episode)
    noise = np.random.default_rng(episode).normal(0, 0.003, values.shape)
    values = values + noise
    values[:, 2] = np.round(values[:, 2], 2)
    return values.astype(np.float32)


def frames(episode, length):
    """(length, 32, 48, 3) uint8: a square that moves, in its colour the episode."""
    found = np.full((length, *SIZE, 3), 40 + 10 * episode, np.uint8)
    for number, frame in enumerate(found):
        frame[8:20, number % 30 : number % 30 + 12] = 200
    return found


def write_film(path, images, codec='libx264', fps=FPS, pix_fmt='yuv420p', layout='rgb24'):
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), 'w') as container:
        stream = container.add_stream(codec, rate=fps, options={'crf': '10', 'g': '4'})
        stream.height, stream.width, stream.pix_fmt = *images.shape[1:3], pix_fmt
        for image in images:
            frame = av.VideoFrame.from_ndarray(image, format=layout)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def decoded(path):
    """Frames of a film, read by PyAV alone: stamps in seconds, (frames, height, width, 3)."""
    with av.open(str(path)) as container:
        found = [
            (float(frame.pts * frame.time_base), frame.to_ndarray(format='rgb24'))
            for frame in container.decode(video=0)
        ]
    return np.array([time for time, _ in found]), np.stack([image for _, image in found])


def table(episode, length, start=0, names=('observation.state', 'action')):
    state = numbers(episode, length)
    columns = {
        names[0]: list(state),
        names[1]: list(np.round(state, 1)),
        'timestamp': np.arange(length, dtype=np.float32) / np.float32(FPS),
        'frame_index': np.arange(length),
        'episode_index': np.full(length, episode),
        'index': np.arange(start, start + length),
        'task_index': np.zeros(length, np.int64),
    }
    return pa.table(columns)


def feature(dtype, shape, names=None):
    return {'dtype': dtype, 'shape': shape, 'names': names}


def info(version, **changes):
    shared = 'chunk-{chunk_index:03d}/file-{file_index:03d}'
    own = 'chunk-{episode_chunk:03d}'
    new = version == 'v3.0'
    return {
        'codebase_version': version,
        'fps': FPS,
        'chunks_size': 1000,
        'data_path': f'data/{shared}.parquet'
        if new
        else f'data/{own}/episode_{{episode_index:06d}}.parquet',
        'video_path': f'videos/{{video_key}}/{shared}.mp4'
        if new
        else f'videos/{own}/{{video_key}}/episode_{{episode_index:06d}}.mp4',
        'features': {
            'observation.state': feature('float32', [3], [NAMES]),
            'action': feature('float32', [3], {'motors': NAMES}),
            CAMERA: feature('video', [*SIZE, 3], ['height', 'width', 'channels']),
            'timestamp': feature('float32', [1]),
            'language': feature('string', [1]),
        },
    } | changes


def write_info(folder, content):
    (folder / 'meta').mkdir(parents=True, exist_ok=True)
    (folder / 'meta/info.json').write_text(json.dumps(content))


def write_v2(folder, lengths, **changes):
    """Write version 2.1: `lengths` maps numbers of episodes to their rows."""
    write_info(folder, info('v2.1', **changes))
    lines = [
        json.dumps({'episode_index': number, 'tasks': ['lift'], 'length': length})
        for number, length in lengths.items()
    ]
    (folder / 'meta/episodes.jsonl').write_text('\n'.join(lines) + '\n')
    for number, length in lengths.items():
        path = table_path(folder, number)
        path.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(table(number, length), path)
        write_film(film_path(folder, number), frames(number, length))
    return folder


def table_path(folder, number):
    return folder / f'data/chunk-000/episode_{number:06d}.parquet'


def film_path(folder, number):
    return folder / f'videos/chunk-000/{CAMERA}/episode_{number:06d}.mp4'


def write_v3(folder, lengths):
    """Write version 3.0: all episodes in one table and one film."""
    write_info(folder, info('v3.0'))
    rows, tables, images, start = [], [], [], 0
    for number, length in lengths.items():
        rows.append(
            {
                'episode_index': number,
                'tasks': ['lift', 'put down'],
                'length': length,
                'data/chunk_index': 0,
                'data/file_index': 0,
                'dataset_from_index': start,
                'dataset_to_index': start + length,
                f'videos/{CAMERA}/chunk_index': 0,
                f'videos/{CAMERA}/file_index': 0,
                f'videos/{CAMERA}/from_timestamp': start / FPS,
                f'videos/{CAMERA}/to_timestamp': (start + length) / FPS,
                'stats/action/mean': [0.0],
            }
        )
        tables.append(table(number, length, start))
        images.append(frames(number, length))
        start += length
    meta = folder / 'meta/episodes/chunk-000'
    meta.mkdir(parents=True)
    pq.write_table(pa.Table.from_pylist(rows), meta / 'file-000.parquet')
    data = folder / 'data/chunk-000'
    data.mkdir(parents=True)
    # Row groups cut episodes: 7 rows each.
    pq.write_table(pa.concat_tables(tables), data / 'file-000.parquet', row_group_size=7)
    write_film(folder / f'videos/{CAMERA}/chunk-000/file-000.mp4', np.concatenate(images))
    return folder
