"""Throughput of the training loop against a bare PyTorch loop, and of the DataModule.

    python bench/loop.py [--write]

Configurations, callbacks and logger are the shipped ones, with batches of 64. During
`lipfault fit` the trainer and a bare loop alternate in blocks of steps. The bare loop trains a copy
of the task on the same data set, with the same faults, precision, optimizer and clipping, without
trainer and logging. Times are CPU times of one thread, which other load on the machine changes
little; the row on two processes has wall-clock times. The table is section "Loop" of
docs/benchmarks.md.
"""

import copy
import os
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import torch
from common.page import MEASURED, ROOT, parser_of, put_section
from lightning import Callback, LightningModule, Trainer
from torch.utils.benchmark import Timer
from torch.utils.data import DataLoader, Dataset, RandomSampler, default_collate

from lipfault.batch import Batch
from lipfault.data.datamodule import RecordingDataModule
from lipfault.data.window_batch import Windows, collate

SECTION = 'Loop'
BATCH, BLOCK, BLOCKS, WARM_UP = 64, 8, 6, 2
"""Windows per step, steps per block, blocks, and rounds that are not counted."""


class Row(NamedTuple):
    """Comparison of two rates in samples per second.

    Args:
        what: Name of our measurement.
        ours: Our rate.
        peer: Name of the reference.
        theirs: Rate of the reference.
        goal: Goal for the ratio, as text.
    """

    what: str
    ours: float
    peer: str
    theirs: float
    goal: str


class BareTrainer:
    """The attributes of a trainer that a task reads."""

    estimated_stepping_batches = 1000
    current_epoch = global_step = 0
    lr_scheduler_configs = ()


def bare_copy(task: LightningModule) -> LightningModule:
    """Return a copy of a task without trainer and logging, in training mode.

    Args:
        task: A task in the middle of a training.
    """
    copied: Any = copy.deepcopy(task)
    copied._trainer = BareTrainer()
    copied.log = copied.log_dict = lambda *args, **options: None
    copied.log_step = lambda *args: None
    trained: LightningModule = copied.train()
    return trained


class BareLoop:
    """Training steps of a task in plain PyTorch.

    Args:
        task: Copy of a task without trainer.
        data: DataModule of windows and faults.
        faulty: Whether to inject faults.
        mixed: Whether to run the forward pass under bfloat16 autocast.
    """

    def __init__(
        self, task: LightningModule, data: RecordingDataModule, faulty: bool, mixed: bool
    ) -> None:
        """Build loader and optimizer."""
        self.task, self.data, self.faulty, self.mixed = task, data, faulty, mixed
        found: Any = task.configure_optimizers()
        self.optimizer, self.schedule = found['optimizer'], found['lr_scheduler']['scheduler']
        self.batches = self._batches()
        plain = LightningModule.configure_gradient_clipping
        self.clips = type(task).configure_gradient_clipping is not plain

    def _batches(self) -> Iterator[Windows]:
        dataset = self.data.dataset(self.data.train_split)
        loader = DataLoader(dataset, BATCH, shuffle=True, drop_last=True, collate_fn=collate)
        while True:
            yield from loader

    def batch(self) -> Batch:
        """Return the next batch, with faults if configured."""
        windows = next(self.batches)
        return self.data.faulty_batch(windows) if self.faulty else self.data.clean_batch(windows)

    def step(self) -> None:
        """Make one optimizer step."""
        batch = self.batch()
        self.optimizer.zero_grad()
        with torch.autocast('cpu', torch.bfloat16, enabled=self.mixed):
            loss = self.task.training_step(batch, 0)
        loss.backward()
        if self.clips:
            self.task.configure_gradient_clipping(self.optimizer)
        self.optimizer.step()
        self.schedule.step()


class SideBySide(Callback):
    """Callback that alternates blocks of trainer steps and of bare steps, and times both.

    Attributes:
        ours: CPU seconds per step of the trainer, one entry per block.
        bare: CPU seconds per step of the bare loop, one entry per block.
        data: CPU seconds per batch, from `data_seconds`.
    """

    def __init__(self) -> None:
        """Start without measurements."""
        self.ours: list[float] = []
        self.bare: list[float] = []
        self.data: dict[str, float] = {}
        self._loop: BareLoop | None = None
        self._start = 0.0

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, *_: Any) -> None:  # noqa: ANN401
        """Run a block of the bare loop after each block of the trainer.

        Args:
            trainer: The trainer.
            pl_module: The task.
        """
        step = trainer.global_step
        if step % BLOCK:
            return
        if step:
            self.ours.append((time.process_time() - self._start) / BLOCK)
        data: Any = trainer.datamodule  # type: ignore[attr-defined]
        if self._loop is None:
            faulty = data._faults is not None
            mixed = trainer.precision == 'bf16-mixed'
            self._loop = BareLoop(bare_copy(pl_module), data, faulty, mixed)
        # The first block of either loop warms up and is not counted.
        start = time.process_time()
        for _ in range(BLOCK):
            self._loop.step()
        if step:
            self.bare.append((time.process_time() - start) / BLOCK)
        # The data are measured once, after the last block, while the trainer is paused.
        if step == BLOCK * BLOCKS:
            self.data = data_seconds(self._loop)
        self._start = time.process_time()


class Arrays(Dataset[dict[str, torch.Tensor]]):
    """Data set of finished windows in memory, at most 1024, one sample per item.

    Args:
        data: DataModule whose training split is read.
    """

    def __init__(self, data: RecordingDataModule) -> None:
        """Read the windows."""
        dataset = data.dataset(data.train_split)
        count = range(min(len(dataset), 1024))
        batches = [data.clean_batch(dataset.fetch([n])).clean for n in count]
        self.samples = [{n: x[0].clone() for n, x in batch.items()} for batch in batches]

    def __len__(self) -> int:
        """Return the number of windows."""
        return len(self.samples)

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        """Return the signals of one window by modality.

        Args:
            index: Index of the window.
        """
        return self.samples[index]


def data_seconds(loop: BareLoop) -> dict[str, float]:
    """Return CPU seconds per batch of three sources.

    Args:
        loop: A bare loop; its DataModule is measured.

    Returns:
        Medians by source: `cached` and `disk` are the DataModule with and without its cache,
        `arrays` are finished windows in memory, collated by PyTorch.
    """
    data = loop.data
    arrays = Arrays(data)
    loader = DataLoader(arrays, BATCH, sampler=RandomSampler(arrays), collate_fn=default_collate)
    # A second DataModule on the same recording, without the split that is already in memory.
    disk = copy.copy(data)
    disk._datasets, disk._cache = {}, 'none'
    uncached = BareLoop(loop.task, disk, loop.faulty, loop.mixed)
    plain = iter(endless(loader))
    runs: dict[str, Callable[[], object]] = {
        'cached': loop.batch, 'disk': uncached.batch, 'arrays': lambda: next(plain),
    }  # fmt: skip
    timers = {
        n: Timer('run()', globals={'run': r}, timer=time.process_time) for n, r in runs.items()
    }
    rounds = [
        {name: timer.timeit(8).median for name, timer in timers.items()} for _ in range(WARM_UP + 5)
    ][WARM_UP:]
    return {name: statistics.median(r[name] for r in rounds) for name in runs}


def endless(loader: DataLoader[dict[str, torch.Tensor]]) -> Iterator[dict[str, torch.Tensor]]:
    """Yield batches epoch after epoch.

    Args:
        loader: A loader.
    """
    while True:
        yield from loader


def fit(stage: str, folder: Path) -> SideBySide:
    """Run a stage through the command line with `SideBySide`.

    Args:
        stage: `pretrain` or `finetune`.
        folder: Folder of the runs; stage 2 reads stage 1 from it.
    """
    from lipfault.cli import lightning as cli

    # The command line has no option for a callback object, so it is added where checkpointing
    # callbacks are made.
    beside = SideBySide()
    made = cli.checkpointing
    cli.checkpointing = lambda run, every: [*made(run, every), beside]
    options = {
        'config': f'{ROOT}/configs/{stage}.yaml',
        'run': f'{folder}/{stage}',
        'trainer.accelerator': 'cpu',
        'trainer.max_steps': str(BLOCK * BLOCKS + 1),
        'data.path': f'{ROOT}/data/ur5.h5',
    }
    if stage == 'finetune':
        options['model.pretrained'] = f'{folder}/pretrain/checkpoints/last.ckpt'
    try:
        cli.build(['fit', *(word for k, v in options.items() for word in (f'--{k}', v))])
    finally:
        cli.checkpointing = made
    return beside


def stage_rows(stage: str, folder: Path) -> list[Row]:
    """Return the rows on loop and data of a stage.

    Args:
        stage: `pretrain` or `finetune`.
        folder: Folder of the runs.
    """
    found = fit(stage, folder)
    ours, bare = (BATCH / statistics.median(times) for times in (found.ours, found.bare))
    rates = {name: BATCH / seconds for name, seconds in found.data.items()}
    name = {'pretrain': 'stage 1', 'finetune': 'stage 2'}[stage]
    fed = ' with faults' if stage == 'finetune' else ''
    return [
        Row(f'`lipfault fit`, {name}', ours, 'bare PyTorch loop', bare, 'at least 0.95'),
        Row(f'DataModule{fed}, {name}', rates['cached'], 'the training', ours, 'at least 3'),
        Row(f'the same, `cache: none`, {name}', rates['disk'], 'the training', ours, 'at least 3'),
        Row(f'DataModule{fed}, {name}', rates['cached'], 'finished arrays in memory, collated',
            rates['arrays'], 'none'),
    ]  # fmt: skip


class Clock(Callback):
    """Callback that prints wall-clock seconds per step, without the first block."""

    def __init__(self) -> None:
        """Start without a time."""
        self.start = 0.0

    def on_train_batch_start(self, trainer: Trainer, *_: Any) -> None:  # noqa: ANN401
        """Start the clock after the first block.

        Args:
            trainer: The trainer.
        """
        if trainer.global_step == BLOCK:
            self.start = time.perf_counter()

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Print the seconds per step in the first process.

        Args:
            trainer: The trainer.
            pl_module: The task.
        """
        if trainer.is_global_zero:
            seconds = (time.perf_counter() - self.start) / (trainer.global_step - BLOCK)
            print(f'seconds a step: {seconds}', flush=True)


def wall_rate(processes: int, folder: Path, turn: int) -> float:
    """Return samples per second of stage 2, wall clock, with 64 windows per step.

    Args:
        processes: Number of processes, of one thread each.
        folder: Folder of the runs.
        turn: Number of the repetition, for the name of the run.
    """
    args = [
        '--config', f'{ROOT}/configs/finetune.yaml', '--run', f'{folder}/{processes}-{turn}',
        '--model.pretrained', f'{folder}/pretrain/checkpoints/last.ckpt',
        '--trainer.accelerator=cpu', f'--trainer.devices={processes}',
        f'--trainer.strategy={"auto" if processes == 1 else "ddp"}',
        f'--trainer.max_steps={4 * BLOCK}', f'--data.path={ROOT}/data/ur5.h5',
        f'--data.batch_size={BATCH // processes}', '--trainer.callbacks=[]',
        '--trainer.callbacks+=loop.Clock', '--trainer.enable_progress_bar=false',
    ]  # fmt: skip
    path = f'{ROOT}:{ROOT}/bench'
    done = subprocess.run(
        [sys.executable, '-m', 'lipfault', 'fit', *args],
        env=os.environ | {'OMP_NUM_THREADS': '1', 'PYTHONPATH': path},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    return BATCH / float(done.stdout.split('seconds a step: ')[1].split()[0])


def process_row(folder: Path, turns: int = 2) -> Row:
    """Return the row that compares two processes with one.

    Args:
        folder: Folder of the runs.
        turns: Repetitions, in turn.
    """
    rates: dict[int, list[float]] = {1: [], 2: []}
    for turn in range(turns):
        for processes, found in rates.items():
            found.append(wall_rate(processes, folder, turn))
    one, two = (statistics.median(found) for found in rates.values())
    return Row('two processes of 32, stage 2 (wall clock)', two, 'one of 64', one, 'none')


def report(rows: list[Row]) -> str:
    """Return the section of the page.

    Args:
        rows: Comparisons.
    """
    load = os.getloadavg()[2]
    lines = [
        f'## {SECTION}',
        '',
        f'{MEASURED} `python bench/loop.py`, in `make bench`: shipped configurations and `ur5` '
        f'set, batches of {BATCH}, on the CPU, one thread per process, torch {torch.__version__}. '
        f'Samples per second of CPU time unless marked as wall clock; both sides of a row '
        f'alternate in one run, medians of {BLOCKS} blocks of {BLOCK} steps. {os.cpu_count()} '
        f'cores, load average {load:.1f} over 15 minutes, including the benchmark.',
        '',
        '| measurement | ours | reference | its rate | ratio | goal |',
        '|---|---|---|---|---|---|',
    ]
    lines += [
        f'| {r.what} | {r.ours:.0f} | {r.peer} | {r.theirs:.0f} | {r.ours / r.theirs:.3g} '
        f'| {r.goal} |'
        for r in rows
    ]
    return '\n'.join(lines) + '\n'


def main() -> None:
    """Measure and print the table; write it to the page on request."""
    options = parser_of(__doc__).parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter('ignore')
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        rows = [row for stage in ('pretrain', 'finetune') for row in stage_rows(stage, folder)]
        rows.append(process_row(folder))
    put_section(SECTION, report(rows), options.write)


if __name__ == '__main__':
    main()
