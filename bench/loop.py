"""The training loop next to a bare PyTorch loop, and the DataModule next to arrays in memory.

    python bench/loop.py [--write]

Everything is as shipped: `configs/pretrain.yaml` and `configs/finetune.yaml`, batches of 64, the
callbacks and the logger of the command line. In the middle of `lipfault fit`, after every few steps
of the trainer, a copy of the task makes as many steps in a bare loop: same data set, faults,
precision, optimizer and clipping, no trainer and no logging. Times are CPU times of one thread,
since the machine may be busy; those of two processes are wall-clock times. The table goes into
docs/benchmarks.md, section "Loop".
"""

import argparse
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
from lightning import Callback, LightningModule, Trainer
from torch.utils.benchmark import Timer
from torch.utils.data import DataLoader, Dataset, RandomSampler, default_collate

from lipfault.batch import Batch
from lipfault.data.datamodule import RecordingDataModule
from lipfault.data.window_batch import Windows, collate

ROOT = Path(__file__).parents[1]
PAGE = ROOT / 'docs/benchmarks.md'
SECTION = 'Loop'
BATCH, BLOCK, BLOCKS, WARM_UP = 64, 8, 6, 2


class Row(NamedTuple):
    """A comparison of two rates in samples per second."""

    what: str
    ours: float
    peer: str
    theirs: float
    goal: str


class BareTrainer:
    """What a task asks of its trainer, and no more."""

    estimated_stepping_batches = 1000
    current_epoch = global_step = 0
    lr_scheduler_configs = ()


def bare_copy(task: LightningModule) -> LightningModule:
    """A copy of a task that logs nothing and knows no trainer."""
    copied: Any = copy.deepcopy(task)
    copied._trainer = BareTrainer()
    copied.log = copied.log_dict = lambda *args, **options: None
    copied.log_step = lambda *args: None
    trained: LightningModule = copied.train()
    return trained


class BareLoop:
    """The steps of a task in plain PyTorch.

    Args:
        task: A copy without trainer.
        data: Gives windows, and faults if it is configured to.
        faulty: Whether to inject faults.
        mixed: Whether the forward pass is in bfloat16 where that will do.
    """

    def __init__(
        self, task: LightningModule, data: RecordingDataModule, faulty: bool, mixed: bool
    ) -> None:
        """Make loader and optimizer."""
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
        """The next batch, with faults if asked for."""
        windows = next(self.batches)
        return self.data.faulty_batch(windows) if self.faulty else self.data.clean_batch(windows)

    def step(self) -> None:
        """One optimizer step."""
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
    """Has a bare loop make as many steps as the trainer, in turn, and keeps the CPU times.

    Attributes:
        ours: Seconds a step of the trainer, one entry for each block of steps.
        bare: The same of the bare loop.
        batches: Seconds a batch of the DataModule alone.
        arrays: Seconds a batch of arrays in memory, sample by sample.
    """

    def __init__(self) -> None:
        """Nothing is measured yet."""
        self.ours: list[float] = []
        self.bare: list[float] = []
        self.data: dict[str, float] = {}
        self._loop: BareLoop | None = None
        self._start = 0.0

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, *_: Any) -> None:  # noqa: ANN401
        """After a block of the trainer, a block of the bare loop."""
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
        start = time.process_time()
        for _ in range(BLOCK):
            self._loop.step()
        if step:
            self.bare.append((time.process_time() - start) / BLOCK)
        if step == BLOCK * BLOCKS:
            self.data = data_seconds(self._loop)
        self._start = time.process_time()


class Arrays(Dataset[dict[str, torch.Tensor]]):
    """Windows as samples of whole signals in memory, as a plain data set would hold them."""

    def __init__(self, data: RecordingDataModule) -> None:
        """Read everything; keep where each window ends."""
        dataset = data.dataset(data.train_split)
        count = range(min(len(dataset), 1024))
        batches = [data.clean_batch(dataset.fetch([n])).clean for n in count]
        self.samples = [{n: x[0].clone() for n, x in batch.items()} for batch in batches]

    def __len__(self) -> int:
        """Number of windows."""
        return len(self.samples)

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        """The signals of one window."""
        return self.samples[index]


def data_seconds(loop: BareLoop) -> dict[str, float]:
    """Seconds a batch: the DataModule, without its cache, and arrays in memory."""
    data = loop.data
    arrays = Arrays(data)
    loader = DataLoader(arrays, BATCH, sampler=RandomSampler(arrays), collate_fn=default_collate)
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
    """Epoch after epoch."""
    while True:
        yield from loader


def fit(stage: str, folder: Path) -> SideBySide:
    """Run a stage through the command line, with a bare loop beside it."""
    from lipfault.cli import lightning as cli

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
    """Loop and data of a stage."""
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
    """Prints the wall-clock seconds a step, without the first few."""

    def __init__(self) -> None:
        """Not started."""
        self.start = 0.0

    def on_train_batch_start(self, trainer: Trainer, *_: Any) -> None:  # noqa: ANN401
        """Start after a few steps."""
        if trainer.global_step == BLOCK:
            self.start = time.perf_counter()

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Tell."""
        if trainer.is_global_zero:
            seconds = (time.perf_counter() - self.start) / (trainer.global_step - BLOCK)
            print(f'seconds a step: {seconds}', flush=True)


def wall_rate(processes: int, folder: Path, turn: int) -> float:
    """Samples per second of stage 2 with so many processes of one thread, 64 windows a step."""
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
    """Two processes next to one, in turn."""
    rates: dict[int, list[float]] = {1: [], 2: []}
    for turn in range(turns):
        for processes, found in rates.items():
            found.append(wall_rate(processes, folder, turn))
    one, two = (statistics.median(found) for found in rates.values())
    return Row('two processes of 32, stage 2 (wall clock)', two, 'one of 64', one, 'none')


def report(rows: list[Row]) -> str:
    """The section of the page."""
    load = os.getloadavg()[2]
    lines = [
        f'## {SECTION}',
        '',
        f'`python bench/loop.py` (in `make bench`): shipped configurations and `ur5` set, batches '
        f'of {BATCH}, on the CPU, one thread a process, torch {torch.__version__}; samples a '
        f'second, by CPU time where nothing else is said, each pair in turn in one run, medians '
        f'of {BLOCKS} blocks of {BLOCK} steps. {os.cpu_count()} cores, load average {load:.1f} '
        f'over the last quarter of an hour, its own share included.',
        '',
        '| what | ours | beside it | its rate | ratio | goal |',
        '|---|---|---|---|---|---|',
    ]
    lines += [
        f'| {r.what} | {r.ours:.0f} | {r.peer} | {r.theirs:.0f} | {r.ours / r.theirs:.3g} '
        f'| {r.goal} |'
        for r in rows
    ]
    return '\n'.join(lines) + '\n'


def put_section(text: str, section: str = SECTION) -> None:
    """Replace a section in the page, or append it."""
    before, _, rest = PAGE.read_text().partition(f'## {section}\n')
    _, mark, after = rest.partition('\n## ')
    PAGE.write_text(before.rstrip() + '\n\n' + text + (mark + after if mark else ''))


def main() -> None:
    """Run everything; print the table and, if wanted, put it into the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--write', action='store_true', help='put it into docs/benchmarks.md')
    options = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter('ignore')
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        rows = [row for stage in ('pretrain', 'finetune') for row in stage_rows(stage, folder)]
        rows.append(process_row(folder))
    text = report(rows)
    print(text)
    if options.write:
        put_section(text)


if __name__ == '__main__':
    main()
