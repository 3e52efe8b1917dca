"""Fault injection side by side with neighbouring tools, and its share of a training step.

    python bench/faults.py [--threads 1] [--pretrained RUN]

Every tool gets the same batch: 64 windows of 33 channels and 100 steps, 64 frames of 3 x 64 x 64.
lipfault also draws the parameters, and makes labels, masks and damage; its peers only change the
signals. Per-sample libraries are called once for each sample, as a Dataset would. The table goes
into docs/benchmarks.md, section "Faults". Times are CPU times of the process, so that other work on
the machine disturbs them little.
"""

import argparse
import math
import platform
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch

from lipfault.faults.collection import catalogue
from lipfault.faults.config import FaultConfig
from lipfault.faults.engine import FaultEngine
from lipfault.faults.fault import Sensor
from lipfault.faults.sites import Source, gather
from lipfault.modality import Modality

BATCH, CHANNELS, STEPS, RATE_HZ, PIXELS = 64, 33, 100, 50.0, 64
PAGE = Path(__file__).parents[1] / 'docs/benchmarks.md'
SECTION = 'Faults'

Call = Callable[[], object]


def seconds(*calls: Call, rounds: int = 9) -> list[float]:
    """Median CPU time of each call, taken in turn, after one round to warm up."""
    times: list[list[float]] = [[] for _ in calls]
    for turn in range(rounds + 1):
        for call, found in zip(calls, times, strict=True):
            start = time.process_time()
            call()
            if turn:
                found.append(time.process_time() - start)
    return [statistics.median(found) for found in times]


def sensors() -> dict[str, Modality]:
    """A camera and an arm."""
    many = tuple(f'c{place}' for place in range(CHANNELS))
    arm = Modality(
        'arm',
        'series',
        RATE_HZ,
        many,
        ('rad',) * CHANNELS,
        (-3.0,) * CHANNELS,
        (3.0,) * CHANNELS,
        (0.002,) * CHANNELS,
    )
    camera = Modality(
        'camera',
        'image',
        10.0,
        ('r', 'g', 'b'),
        ('1',) * 3,
        (0.0,) * 3,
        (1.0,) * 3,
        (0.01,) * 3,
        (PIXELS, PIXELS),
    )
    return {'arm': arm, 'camera': camera}


def signals() -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
    """Signals and history of a batch."""
    draw = torch.Generator().manual_seed(0)
    time_s = torch.arange(2 * STEPS) / RATE_HZ
    phase = 6 * torch.rand(BATCH, CHANNELS, 1, generator=draw)
    tape = torch.sin(2 * math.pi * 0.3 * time_s + phase)
    film = torch.rand(BATCH, 6, 3, PIXELS // 8, PIXELS // 8, generator=draw)
    film = film.repeat_interleave(8, 3).repeat_interleave(8, 4)
    now = {'arm': tape[..., STEPS:].contiguous(), 'camera': film[:, -1].contiguous()}
    return now, {'arm': tape[..., :STEPS].contiguous(), 'camera': film[:, :-1].contiguous()}


Kinds = str | tuple[str, ...]
ANY = 'one of these for each sample'
GOALS = {'kornia': 1.0}


def configured(kinds: Kinds, modality: str) -> FaultEngine:
    """Draws one or several kinds of all severities, and no clean sample."""
    names = (kinds,) if isinstance(kinds, str) else kinds
    config = FaultConfig(kinds=dict.fromkeys(names, 1.0), clean_share=0.0)
    return FaultEngine({modality: sensors()[modality]}, config)


def own(kinds: Kinds, modality: str) -> Call:
    """The faults of a batch, labels included."""
    engine = configured(kinds, modality)
    now, past = signals()
    ids = torch.arange(BATCH)
    return lambda: engine({modality: now[modality]}, {modality: past[modality]}, ids)


def own_operation(kinds: Kinds, modality: str) -> Call:
    """The change of the signal alone, as the peers do it: no mask, no labels, no damage."""
    now, past = signals()
    source = Source(
        modality, 0, Sensor.of(sensors()[modality], torch.device('cpu')), past[modality]
    )
    plan = configured(kinds, modality).plan(torch.arange(BATCH))
    found = gather(source, {modality: now[modality]}, plan, tuple(catalogue().values()), 0, 1 / 3)
    if found is None:
        raise ValueError('a batch without clean samples has faulty ones')
    groups, site = found.groups, found.site
    return lambda: [fault.apply(site.rows(start, stop)) for fault, start, stop in groups]


def per_sample(name: str, change: Callable[[np.ndarray], object]) -> Call:
    """A tool that takes one sample at a time; images are (height, width, channel)."""
    now = signals()[0][name]
    if name == 'camera':
        now = now.permute(0, 2, 3, 1)
    samples = [np.ascontiguousarray(sample.numpy()) for sample in now]
    return lambda: [change(sample) for sample in samples]


def tsaug_peers() -> Iterator[tuple[Kinds, str, str, Call]]:
    """(kind, modality, peer, call) of what tsaug has; it takes a whole batch."""
    import tsaug

    batch = np.ascontiguousarray(signals()[0]['arm'].transpose(1, 2).numpy())
    for kind, change in {
        'noise_additive': tsaug.AddNoise(scale=0.02),
        'drift_walk': tsaug.Drift(max_drift=0.1, n_drift_points=5),
        'dropout_zero': tsaug.Dropout(p=0.1, size=5, fill=0.0, per_channel=True),
        'dropout_hold': tsaug.Dropout(p=0.1, size=5, fill='ffill', per_channel=True),
        'quantization': tsaug.Quantize(n_levels=20),
    }.items():
        yield kind, 'arm', 'tsaug', lambda change=change: change.augment(batch)


def audiomentations_peers() -> Iterator[tuple[Kinds, str, str, Call]]:
    """The same of audiomentations, sample by sample."""
    import audiomentations as am

    changes = {
        'noise_additive': am.AddGaussianNoise(p=1.0),
        'gain': am.Gain(p=1.0),
        'saturation': am.ClippingDistortion(p=1.0),
        'quantization': am.BitCrush(p=1.0),
        'sign_flip': am.PolarityInversion(p=1.0),
        'dropout_zero': am.TimeMask(p=1.0),
        'low_pass': am.LowPassFilter(min_cutoff_freq=2.0, max_cutoff_freq=10.0, p=1.0),
        'delay': am.Shift(p=1.0),
        'aliasing': am.Aliasing(min_sample_rate=8, max_sample_rate=25, p=1.0),
    }
    every = {tuple(changes): am.OneOf(list(changes.values()), p=1.0)}
    for kind, change in (changes | every).items():
        call = per_sample('arm', lambda x, change=change: change(x, sample_rate=int(RATE_HZ)))
        yield kind, 'arm', 'audiomentations', call


def albumentations_peers() -> Iterator[tuple[Kinds, str, str, Call]]:
    """The same of albumentations, sample by sample."""
    import albumentations as alb
    import cv2

    cv2.setNumThreads(torch.get_num_threads())
    changes = {
        'gaussian_noise': alb.GaussNoise(p=1.0),
        'shot_noise': alb.ShotNoise(p=1.0),
        'impulse_noise': alb.SaltAndPepper(p=1.0),
        'defocus': alb.Defocus(p=1.0),
        'motion_blur': alb.MotionBlur(p=1.0),
        'occlusion': alb.Erasing(p=1.0),
        'dirt': alb.Spatter(mode='mud', p=1.0),
        'drops': alb.Spatter(mode='rain', p=1.0),
        'fog': alb.RandomFog(p=1.0),
        'glare': alb.RandomSunFlare(p=1.0),
        'over_exposure': alb.RandomBrightnessContrast(p=1.0),
        'colour_shift': alb.RGBShift(p=1.0),
        'colour_swap': alb.ChannelShuffle(p=1.0),
        'blocking': alb.ImageCompression(p=1.0),
        'knock': alb.Affine(rotate=(-20, 20), translate_percent=0.1, p=1.0),
    }
    every = {tuple(changes): alb.OneOf(list(changes.values()), p=1.0)}
    for kind, change in (changes | every).items():
        call = per_sample('camera', lambda x, change=change: change(image=x)['image'])
        yield kind, 'camera', 'albumentations', call


def kornia_peers() -> Iterator[tuple[Kinds, str, str, Call]]:
    """The same of kornia, on a whole batch."""
    import kornia.augmentation as kor

    batch = signals()[0]['camera']
    for kind, change in {
        'gaussian_noise': kor.RandomGaussianNoise(std=0.1, p=1.0),
        'impulse_noise': kor.RandomSaltAndPepperNoise(p=1.0),
        'defocus': kor.RandomGaussianBlur((9, 9), (1.0, 3.0), p=1.0),
        'motion_blur': kor.RandomMotionBlur(9, 45.0, 0.0, p=1.0),
        'occlusion': kor.RandomErasing(p=1.0),
        'drops': kor.RandomRain(
            drop_height=(2, 5), drop_width=(-3, 3), number_of_drops=(5, 20), p=1.0
        ),
        'over_exposure': kor.RandomBrightness((1.2, 2.0), p=1.0),
        'colour_shift': kor.RandomRGBShift(p=1.0),
        'colour_swap': kor.RandomChannelShuffle(p=1.0),
        'blocking': kor.RandomJPEG((10.0, 50.0), p=1.0),
        'knock': kor.RandomAffine(20.0, (0.1, 0.1), p=1.0),
    }.items():
        yield kind, 'camera', 'kornia', lambda change=change: change(batch)


Row = tuple[str, str, float, float, float]


def compare() -> list[Row]:
    """(kind, peer, seconds of peer, engine, operation) of every fault that a peer has."""
    rows = []
    for peers in (tsaug_peers, audiomentations_peers, albumentations_peers, kornia_peers):
        try:
            found = list(peers())
        except ImportError as error:
            print(f'skipped: {error}; pip install lipfault[bench]')
            continue
        for kind, modality, peer, call in found:
            times = seconds(call, own(kind, modality), own_operation(kind, modality))
            name = kind if isinstance(kind, str) else ANY
            rows.append((name, peer, *times))
            shown = (f'{1e3 * each:8.2f} ms' for each in times)
            print(f'{name:28} {peer:16}', *shown, flush=True)
    return rows


def whole_engine() -> float:
    """Seconds for a batch with all kinds, half of the samples clean, as in training."""
    engine = FaultEngine(sensors(), FaultConfig(kinds={'series': 1.0, 'image': 1.0}))
    now, past = signals()
    epochs = iter(range(10**9))
    return seconds(lambda: engine(now, past, torch.arange(BATCH), next(epochs)), rounds=40)[0]


def training_share(pretrained: str) -> tuple[float, float]:
    """(engine, rest of the step) in seconds, of the shipped stage 2."""
    from lipfault.cli.lightning import build

    spent: list[float] = []

    def timed(function: Callable[..., object]) -> Callable[..., object]:
        def call(*args: object, **options: object) -> object:
            start = time.perf_counter()
            result = function(*args, **options)
            spent.append(time.perf_counter() - start)
            return result

        return call

    parts = ('plan', 'apply', 'before')
    untimed = {part: getattr(FaultEngine, part) for part in parts}
    for part, function in untimed.items():
        setattr(FaultEngine, part, timed(function))
    try:
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
            cli = build(
                ['fit', *(word for key, value in options.items() for word in (f'--{key}', value))]
            )
    finally:
        for part, function in untimed.items():
            setattr(FaultEngine, part, function)
    steps = cli.trainer.profiler.recorded_durations['run_training_batch']
    engine = [sum(each) for each in zip(*(spent[place::3] for place in range(3)), strict=True)]
    return statistics.median(engine[5:]), statistics.median(steps[5:])


def report(rows: list[Row], whole: float, share: str) -> str:
    """The section of the page."""
    lines = [
        f'## {SECTION}',
        '',
        f'Batch of {BATCH}: windows of {CHANNELS} channels x {STEPS} steps, frames of 3 x {PIXELS} '
        f'x {PIXELS}; {torch.get_num_threads()} thread, {platform.machine()}, torch '
        f'{torch.__version__}. CPU milliseconds a batch, medians of one run of '
        '`python bench/faults.py`, peers and lipfault in turn. "Engine" draws the parameters and '
        'makes labels, masks and damage as well; "operation" changes the signals only, as the '
        'peers do. The kind of fault is the same, its parameters are not.',
        '',
        '| fault | peer | peer | engine | operation | peer / engine | peer / operation |',
        '| --- | --- | --- | --- | --- | --- | --- |',
    ]
    for kind, peer, theirs, engine, operation in sorted(rows):
        times = ' | '.join(f'{1e3 * each:.2f}' for each in (theirs, engine, operation))
        ratios = f'{theirs / engine:.2f} | {theirs / operation:.2f}'
        name = kind if kind == ANY else f'`{kind}`'
        lines.append(f'| {name} | {peer} | {times} | {ratios} |')
    lines += ['', '| peer | goal | peer / engine, median (range) | peer / operation |']
    lines += ['| --- | --- | --- | --- |']
    for peer in dict.fromkeys(row[1] for row in rows):
        mine = [row for row in rows if row[1] == peer and row[0] != ANY]
        goal = GOALS.get(peer, 5.0)
        cells = [_spread([row[2] / row[place] for row in mine], goal) for place in (3, 4)]
        lines.append(f'| {peer} | {goal:g} | {" | ".join(cells)} |')
    lines += [
        '',
        'The goals are 5 times the speed of libraries that take a sample at a time, and that of '
        'kornia; the last two columns say by how many faults each is reached. Where it is missed, '
        'a call of the peer takes some microseconds a sample, about what a batch takes to be '
        'copied once. Goal for the share of a training step: at most 10 %.',
    ]
    lines += ['', f'All kinds, half of the samples clean: {whole * 1e3:.1f} ms a batch. {share}']
    return '\n'.join(lines).rstrip() + '\n'


def _spread(ratios: list[float], goal: float) -> str:
    """Median and range of some ratios, and how many reach a goal."""
    spread = f'{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})'
    return f'{spread}, {sum(ratio >= goal for ratio in ratios)} of {len(ratios)}'


def main() -> None:
    """Run everything and put the tables into the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--threads', type=int, default=1)
    parser.add_argument('--pretrained', help='run folder of stage 1, for the share of a step')
    parser.add_argument(
        '--write', action='store_true', help='put the tables into docs/benchmarks.md'
    )
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    warnings.simplefilter('ignore')
    whole, share = whole_engine(), ''
    if options.pretrained:
        engine, step = training_share(options.pretrained)
        share = (
            f'In stage 2 as shipped (batch of 64, {options.threads} thread) it takes '
            f'{engine * 1e3:.1f} ms before a training step of {step * 1e3:.0f} ms: '
            f'{engine / (engine + step):.1%} of both.'
        )
        print(share)
    text = report(compare(), whole, share)
    print(text)
    if options.write:
        put_section(text)


def put_section(text: str) -> None:
    """Replace the section in the page, or append it."""
    page = PAGE.read_text() if PAGE.exists() else '# Benchmarks\n'
    before, _, rest = page.partition(f'## {SECTION}\n')
    _, mark, after = rest.partition('\n## ')
    PAGE.write_text(before.rstrip() + '\n\n' + text + (mark + after if mark else ''))


if __name__ == '__main__':
    main()
