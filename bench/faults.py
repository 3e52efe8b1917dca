"""Fault injection against neighbouring libraries, and its share of a training step.

    python bench/faults.py [--threads 1] [--pretrained RUN] [--write]

Every library receives the same batch: 64 windows of 33 channels and 100 samples, 64 frames of
3 x 64 x 64. lipfault also draws parameters and makes labels, masks and damage; the others only
change the signals. A library that takes one sample is called once per sample, as a Dataset would
call it. The table is section "Faults" of docs/benchmarks.md. Times are CPU times of the process,
which other load on the machine changes little.
"""

import math
import platform
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

import numpy as np
import torch
from common.page import MEASURED, parser_of, put_section
from common.sensors import camera, joints

from lipfault.faults.collection import catalogue
from lipfault.faults.config import FaultConfig
from lipfault.faults.engine import FaultEngine
from lipfault.faults.fault import Sensor
from lipfault.faults.sites import Source, gather

BATCH, CHANNELS, STEPS, RATE_HZ, PIXELS = 64, 33, 100, 50.0, 64
SECTION = 'Faults'
SENSORS = {'arm': joints('arm', CHANNELS, RATE_HZ), 'camera': camera(PIXELS)}

Call = Callable[[], object]
Kinds = str | tuple[str, ...]
"""A fault kind, or the kinds of which one is drawn per sample."""

Peer = tuple[Kinds, str, str, Call]
"""Kind, modality, library, and a function that applies it to the batch."""

Row = tuple[str, str, float, float, float]
"""Kind, library, and CPU seconds per batch of the library, our engine and our operation."""

ANY = 'one of these for each sample'
GOALS = {'kornia': 1.0}
"""Goals for the time of a library over ours; 5 for libraries not named here."""


def seconds(*calls: Call, rounds: int = 9) -> list[float]:
    """Return the median CPU seconds of each call.

    Args:
        calls: Functions, which alternate.
        rounds: Repetitions, after one round to warm up.
    """
    times: list[list[float]] = [[] for _ in calls]
    for turn in range(rounds + 1):
        for call, found in zip(calls, times, strict=True):
            start = time.process_time()
            call()
            if turn:
                found.append(time.process_time() - start)
    return [statistics.median(found) for found in times]


def signals() -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
    """Return signals and history of a batch.

    Returns:
        The windows, (batch, channel, time) and (batch, 3, height, width), and the samples before
        them; an image has five earlier frames.
    """
    draw = torch.Generator().manual_seed(0)
    time_s = torch.arange(2 * STEPS) / RATE_HZ
    phase = 6 * torch.rand(BATCH, CHANNELS, 1, generator=draw)
    tape = torch.sin(2 * math.pi * 0.3 * time_s + phase)  # 0.3 Hz
    # Squares of 8 x 8 equal pixels: noise in every pixel is no image to blur or compress.
    film = torch.rand(BATCH, 6, 3, PIXELS // 8, PIXELS // 8, generator=draw)
    film = (film * 255).round() / 255  # a camera delivers 8 bits
    film = film.repeat_interleave(8, 3).repeat_interleave(8, 4)
    now = {'arm': tape[..., STEPS:].contiguous(), 'camera': film[:, -1].contiguous()}
    return now, {'arm': tape[..., :STEPS].contiguous(), 'camera': film[:, :-1].contiguous()}


def configured(kinds: Kinds, modality: str) -> FaultEngine:
    """Return an engine that makes every sample faulty.

    Args:
        kinds: Fault kinds, drawn with equal weights and all severities.
        modality: Name of the modality.
    """
    names = (kinds,) if isinstance(kinds, str) else kinds
    config = FaultConfig(kinds=dict.fromkeys(names, 1.0), clean_share=0.0)
    return FaultEngine({modality: SENSORS[modality]}, config)


def own(kinds: Kinds, modality: str) -> Call:
    """Return a call of the whole engine, labels included.

    Args:
        kinds: Fault kinds.
        modality: Name of the modality.
    """
    engine = configured(kinds, modality)
    now, past = signals()
    ids = torch.arange(BATCH)
    return lambda: engine({modality: now[modality]}, {modality: past[modality]}, ids)


def own_operation(kinds: Kinds, modality: str) -> Call:
    """Return a call of the change of the signal alone, without mask, labels and damage.

    Args:
        kinds: Fault kinds.
        modality: Name of the modality.
    """
    now, past = signals()
    source = Source(modality, 0, Sensor.of(SENSORS[modality], torch.device('cpu')), past[modality])
    plan = configured(kinds, modality).plan(torch.arange(BATCH))
    found = gather(source, {modality: now[modality]}, plan, tuple(catalogue().values()), 0, 1 / 3)
    if found is None:
        raise ValueError('a batch without clean samples has faulty ones')
    # Parameters are drawn and masks gathered before the clock starts.
    groups, site = found.groups, found.site
    return lambda: [fault.apply(site.rows(start, stop)) for fault, start, stop in groups]


def per_sample(name: str, change: Callable[[np.ndarray], object]) -> Call:
    """Return a call of a library that takes one sample at a time.

    Args:
        name: Name of the modality; images become (height, width, channel).
        change: Changes one sample.
    """
    now = signals()[0][name]
    if name == 'camera':
        now = now.permute(0, 2, 3, 1)  # (batch, height, width, channel)
    samples = [np.ascontiguousarray(sample.numpy()) for sample in now]
    return lambda: [change(sample) for sample in samples]


def with_any(changes: dict[str, Any], one_of: Callable[..., Any]) -> dict[Kinds, Any]:
    """Add a transform that draws one of the others per sample.

    Args:
        changes: Transforms by fault kind.
        one_of: Class `OneOf` of the library.
    """
    return {**changes, tuple(changes): one_of(list(changes.values()), p=1.0)}


def peers(
    library: str, modality: str, changes: Mapping[Any, Any], call_of: Callable[[Any], Call]
) -> Iterator[Peer]:
    """Yield the entries of a library.

    Args:
        library: Name of the library.
        modality: Name of the modality.
        changes: Transforms by fault kind.
        call_of: Returns the call that applies a transform to the batch.
    """
    for kinds, change in changes.items():
        yield kinds, modality, library, call_of(change)


def tsaug_peers() -> Iterator[Peer]:
    """Yield the faults of tsaug, which takes a batch of (sample, time, channel)."""
    import tsaug

    batch = np.ascontiguousarray(signals()[0]['arm'].transpose(1, 2).numpy())
    changes = {
        'noise_additive': tsaug.AddNoise(scale=0.02),
        'drift_walk': tsaug.Drift(max_drift=0.1, n_drift_points=5),
        'dropout_zero': tsaug.Dropout(p=0.1, size=5, fill=0.0, per_channel=True),
        'dropout_hold': tsaug.Dropout(p=0.1, size=5, fill='ffill', per_channel=True),
        'quantization': tsaug.Quantize(n_levels=20),
    }
    yield from peers('tsaug', 'arm', changes, lambda change: partial(change.augment, batch))


def audiomentations_peers() -> Iterator[Peer]:
    """Yield the faults of audiomentations, which takes one sample of (channel, time)."""
    import audiomentations as am

    plain = {'noise_additive': am.AddGaussianNoise, 'gain': am.Gain,
             'saturation': am.ClippingDistortion, 'quantization': am.BitCrush,
             'sign_flip': am.PolarityInversion, 'dropout_zero': am.TimeMask}  # fmt: skip
    changes = {kind: change(p=1.0) for kind, change in plain.items()} | {
        'low_pass': am.LowPassFilter(min_cutoff_freq=2.0, max_cutoff_freq=10.0, p=1.0),
        'delay': am.Shift(p=1.0),
        'aliasing': am.Aliasing(min_sample_rate=8, max_sample_rate=25, p=1.0),
    }

    def call_of(change: Any) -> Call:  # noqa: ANN401
        return per_sample('arm', partial(change, sample_rate=int(RATE_HZ)))

    yield from peers('audiomentations', 'arm', with_any(changes, am.OneOf), call_of)


def albumentations_peers() -> Iterator[Peer]:
    """Yield the faults of albumentations, which takes one image of (height, width, channel)."""
    import albumentations as alb
    import cv2

    # OpenCV has its own threads, which `--threads` must limit, too.
    cv2.setNumThreads(torch.get_num_threads())
    plain = {'gaussian_noise': alb.GaussNoise, 'shot_noise': alb.ShotNoise,
             'impulse_noise': alb.SaltAndPepper, 'defocus': alb.Defocus,
             'motion_blur': alb.MotionBlur, 'occlusion': alb.Erasing, 'fog': alb.RandomFog,
             'glare': alb.RandomSunFlare, 'over_exposure': alb.RandomBrightnessContrast,
             'colour_shift': alb.RGBShift, 'colour_swap': alb.ChannelShuffle,
             'blocking': alb.ImageCompression}  # fmt: skip
    changes = {kind: change(p=1.0) for kind, change in plain.items()} | {
        'dirt': alb.Spatter(mode='mud', p=1.0),
        'drops': alb.Spatter(mode='rain', p=1.0),
        'knock': alb.Affine(rotate=(-20, 20), translate_percent=0.1, p=1.0),
    }

    def call_of(change: Any) -> Call:  # noqa: ANN401
        return per_sample('camera', lambda x: change(image=x)['image'])

    yield from peers('albumentations', 'camera', with_any(changes, alb.OneOf), call_of)


def kornia_peers() -> Iterator[Peer]:
    """Yield the faults of kornia, which takes a batch of (sample, channel, height, width)."""
    import kornia.augmentation as kor

    drops = {'drop_height': (2, 5), 'drop_width': (-3, 3), 'number_of_drops': (5, 20)}
    changes = {
        'gaussian_noise': kor.RandomGaussianNoise(std=0.1, p=1.0),
        'impulse_noise': kor.RandomSaltAndPepperNoise(p=1.0),
        'defocus': kor.RandomGaussianBlur((9, 9), (1.0, 3.0), p=1.0),
        'motion_blur': kor.RandomMotionBlur(9, 45.0, 0.0, p=1.0),
        'occlusion': kor.RandomErasing(p=1.0),
        'drops': kor.RandomRain(**drops, p=1.0),
        'over_exposure': kor.RandomBrightness((1.2, 2.0), p=1.0),
        'colour_shift': kor.RandomRGBShift(p=1.0),
        'colour_swap': kor.RandomChannelShuffle(p=1.0),
        'blocking': kor.RandomJPEG((10.0, 50.0), p=1.0),
        'knock': kor.RandomAffine(20.0, (0.1, 0.1), p=1.0),
    }
    batch = signals()[0]['camera']
    yield from peers('kornia', 'camera', changes, lambda change: partial(change, batch))


def compare() -> list[Row]:
    """Time every fault that a library has; libraries that are not installed are left out."""
    rows = []
    for library in (tsaug_peers, audiomentations_peers, albumentations_peers, kornia_peers):
        try:
            found = list(library())
        except ImportError as error:
            print(f'skipped: {error}; pip install lipfault[bench]')
            continue
        for kind, modality, peer, call in found:
            times = seconds(call, own(kind, modality), own_operation(kind, modality))
            name = kind if isinstance(kind, str) else ANY
            rows.append((name, peer, *times))
            printed = (f'{1e3 * each:8.2f} ms' for each in times)
            print(f'{name:28} {peer:16}', *printed, flush=True)
    return rows


def whole_engine() -> float:
    """Return CPU seconds per batch of all kinds, half of the samples clean as in training."""
    engine = FaultEngine(SENSORS, FaultConfig(kinds={'series': 1.0, 'image': 1.0}))
    now, past = signals()
    epochs = iter(range(10**9))  # another draw of faults in each round
    return seconds(lambda: engine(now, past, torch.arange(BATCH), next(epochs)), rounds=40)[0]


def training_share(pretrained: str) -> tuple[float, float]:
    """Return the time of the engine and of the rest of a training step of the shipped stage 2.

    Args:
        pretrained: Run folder of stage 1.

    Returns:
        Medians in seconds, wall clock.
    """
    spent: list[float] = []

    def timed(function: Callable[..., object]) -> Callable[..., object]:
        def call(*args: object, **options: object) -> object:
            start = time.perf_counter()
            result = function(*args, **options)
            spent.append(time.perf_counter() - start)
            return result

        return call

    # A batch calls each part once, so three times in a row belong to one batch.
    parts = ('plan', 'apply', 'before')
    untimed = {part: getattr(FaultEngine, part) for part in parts}
    for part, function in untimed.items():
        setattr(FaultEngine, part, timed(function))
    try:
        steps = _step_durations(pretrained)
    finally:
        for part, function in untimed.items():
            setattr(FaultEngine, part, function)
    engine = [sum(each) for each in zip(*(spent[part::3] for part in range(3)), strict=True)]
    return statistics.median(engine[5:]), statistics.median(steps[5:])  # five steps to warm up


def _step_durations(pretrained: str) -> list[float]:
    """Train 30 steps of the shipped stage 2; seconds of each step without loading its batch."""
    from lipfault.cli.lightning import build

    with tempfile.TemporaryDirectory() as folder:
        options = {
            'config': 'configs/finetune.yaml',
            'model.pretrained': pretrained,
            'run': f'{folder}/run',
            'trainer.limit_train_batches': '30',
            'trainer.max_epochs': '1',
            'trainer.limit_val_batches': '0',
            'trainer.profiler': 'simple',
            'trainer.callbacks': '[]',
            'data.cache': 'none',
        }
        cli = build(['fit', *(word for k, v in options.items() for word in (f'--{k}', v))])
    durations: list[float] = cli.trainer.profiler.recorded_durations['run_training_batch']
    return durations


def report(rows: list[Row], whole: float, share: str) -> str:
    """Return the section of the page.

    Args:
        rows: Times by kind and library.
        whole: CPU seconds of the engine for a batch of all kinds.
        share: Sentence on the share of a training step; may be empty.
    """
    lines = [
        f'## {SECTION}',
        '',
        f'{MEASURED} Batch of {BATCH}: windows of {CHANNELS} channels x {STEPS} samples, frames of '
        f'3 x {PIXELS} x {PIXELS}; {torch.get_num_threads()} thread, {platform.machine()}, torch '
        f'{torch.__version__}. CPU milliseconds per batch, medians of one run of '
        '`python bench/faults.py`, in which library and lipfault alternate. "Engine" draws '
        'parameters and makes labels, masks and damage as well; "operation" only changes the '
        'signals, as the libraries do. The fault kinds are the same, their parameters are not.',
        '',
        '| fault | library | its time | engine | operation | time / engine | time / operation |',
        '| --- | --- | --- | --- | --- | --- | --- |',
    ]
    for kind, peer, theirs, engine, operation in sorted(rows):
        times = ' | '.join(f'{1e3 * each:.2f}' for each in (theirs, engine, operation))
        ratios = f'{theirs / engine:.2f} | {theirs / operation:.2f}'
        name = kind if kind == ANY else f'`{kind}`'
        lines.append(f'| {name} | {peer} | {times} | {ratios} |')
    lines += ['', *_summary(rows)]
    lines += ['', f'All kinds, half of the samples clean: {whole * 1e3:.1f} ms per batch. {share}']
    return '\n'.join(lines).rstrip() + '\n'


def _summary(rows: list[Row]) -> list[str]:
    """Table of the ratios by library, and a sentence on the goals."""
    lines = ['| library | goal | time / engine, median (range) | time / operation |']
    lines += ['| --- | --- | --- | --- |']
    for peer in dict.fromkeys(row[1] for row in rows):
        mine = [row for row in rows if row[1] == peer and row[0] != ANY]
        goal = GOALS.get(peer, 5.0)
        cells = [_spread([row[2] / row[column] for row in mine], goal) for column in (3, 4)]
        lines.append(f'| {peer} | {goal:g} | {" | ".join(cells)} |')
    return [
        *lines,
        '',
        'The goals are 5 times the speed of libraries that take one sample at a time, and the '
        'speed of kornia. The last two columns count the faults that reach the goal. Where it is '
        'missed, a call of the library takes some microseconds per sample, about the time to copy '
        'a batch once. The goal for the share of a training step is at most 10 %.',
    ]


def _spread(ratios: list[float], goal: float) -> str:
    """Median and range of ratios, and the number that reach a goal."""
    spread = f'{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})'
    return f'{spread}, {sum(ratio >= goal for ratio in ratios)} of {len(ratios)}'


def main() -> None:
    """Measure and print the tables; write them to the page on request."""
    parser = parser_of(__doc__)
    parser.add_argument('--threads', type=int, default=1)
    parser.add_argument('--pretrained', help='run folder of stage 1, for the share of a step')
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    warnings.simplefilter('ignore')
    whole, share = whole_engine(), ''
    if options.pretrained:
        engine, step = training_share(options.pretrained)
        share = (
            f'In stage 2 as shipped (batch of 64, {options.threads} thread) the engine takes '
            f'{engine * 1e3:.1f} ms before a training step of {step * 1e3:.0f} ms: '
            f'{engine / (engine + step):.1%} of both.'
        )
        print(share)
    put_section(SECTION, report(compare(), whole, share), options.write)


if __name__ == '__main__':
    main()
