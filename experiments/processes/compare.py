"""Train and test with one process and with two; compare samples, losses, norms and metrics.

    python experiments/processes/compare.py --steps 200 --write

One process has batches of 2B windows of the shipped set, two have B each; networks are small
(`experiments/small`). Both stages are trained both ways in 64-bit precision: two processes sum in
another order, and training amplifies the rounding errors of 32 bits (`--precision 32` shows it).
The weights of one process are then tested both ways, in 32 bits. The differences are printed and,
with `--write`, kept in `result-<precision>.json`.
"""

import argparse
import json
import math
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.plugins.precision import DoublePrecision

from lipfault import __version__
from lipfault.batch import Batch
from lipfault.callbacks.spectral import SpectralNormMonitor
from lipfault.runs.checkpoints import read_checkpoint

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
STAGES = ('pretrain', 'finetune')


FLOAT = torch.Tensor.float
# The plugin would convert every batch to float64 before the faults are injected in float32.
DoublePrecision.convert_input = lambda self, data: data  # type: ignore[method-assign]


def in_64_bits(batch: Batch) -> None:
    """Convert the signals of a batch to float64, and make `Tensor.float` return float64.

    Args:
        batch: Batch to convert in place.
    """
    for signals in (batch.clean, batch.observed, batch.stillness, batch.clean_stillness):
        signals.update({name: signal.double() for name, signal in signals.items()})
    torch.Tensor.float = torch.Tensor.double  # type: ignore[method-assign]


class Diary(SpectralNormMonitor):
    """Callback that writes loss, sample ids, sums of the observed signals and norms of each step.

    Args:
        path: Path of the file without the rank and suffix of each process.
        every: Steps between two measurements of the norms.
    """

    def __init__(self, path: str, every: int = 20) -> None:
        """Start without norms."""
        super().__init__(every)
        self.path, self._norms = path, dict[str, float]()

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Batch, *index: int
    ) -> None:
        """Convert a batch to the precision of the run, after faults were injected in float32.

        Args:
            trainer: The trainer.
            pl_module: The task.
            batch: Batch with injected faults.
            index: Indices of the batch and of its loader, not used.
        """
        if trainer.precision == '64-true':
            in_64_bits(batch)

    def on_validation_batch_start(self, trainer: Trainer, *rest: Any) -> None:  # noqa: ANN401
        """Convert a batch as in training."""
        self.on_train_batch_start(trainer, *rest)

    def on_validation_batch_end(self, *_: Any) -> None:  # noqa: ANN401
        """Restore `Tensor.float`."""
        torch.Tensor.float = FLOAT  # type: ignore[method-assign]

    def measure(self, pl_module: LightningModule, batch: Any) -> dict[str, float]:  # noqa: ANN401
        """Measure the norms and keep them for the next line.

        Args:
            pl_module: The task.
            batch: Batch of the step.

        Returns:
            Norms by metric name.
        """
        self._norms = super().measure(pl_module, batch)
        return self._norms

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: object, batch: Batch, *idx: int
    ) -> None:
        """Append a line to the file of this process.

        Args:
            trainer: The trainer.
            pl_module: The task, whose norms are measured.
            outputs: Output of the training step, with `loss`.
            batch: Batch of the step.
            idx: Index of the batch.
        """
        torch.Tensor.float = FLOAT  # type: ignore[method-assign]
        super().on_train_batch_end(trainer, pl_module, outputs, batch, *idx)
        # One number per window identifies its content, faults included.
        sums = sum(x.double().flatten(1).sum(1) for x in batch.observed.values())
        step: Any = outputs
        line = {
            'loss': float(step['loss']),
            'samples': dict(zip(batch.sample_id.tolist(), sums.tolist(), strict=True)),  # type: ignore[union-attr]
            'norms': self._norms,
        }
        self._norms = {}
        with Path(f'{self.path}-{trainer.global_rank}.jsonl').open('a') as file:
            file.write(json.dumps(line) + '\n')


def lipfault(options: argparse.Namespace, *args: object) -> float:
    """Run the command line in a process of its own.

    Args:
        options: Options of this script.
        args: Arguments of `lipfault`.

    Returns:
        Wall-clock seconds.
    """
    start, log = time.monotonic(), options.out / 'log.txt'
    environment = os.environ | {'PYTHONPATH': f'{ROOT}:{HERE}', 'OMP_NUM_THREADS': '1'}
    with log.open('a') as file:
        done = subprocess.run(
            [sys.executable, '-m', 'lipfault', *map(str, args)],
            cwd=ROOT, env=environment, stdout=file, stderr=file, timeout=1800, check=False,
        )  # fmt: skip
    if done.returncode:
        raise SystemExit(f'lipfault failed, see {log}')
    return time.monotonic() - start


def shared(processes: int) -> list[object]:
    """Return the arguments for a number of processes.

    Args:
        processes: Number of processes.
    """
    strategy = 'auto' if processes == 1 else 'ddp'
    return [f'--trainer.devices={processes}', f'--trainer.strategy={strategy}']


def fit(stage: str, options: argparse.Namespace, processes: int) -> Path:
    """Train a stage for two epochs, half of the steps each, and return its run folder.

    Args:
        stage: `pretrain` or `finetune`.
        options: Options of this script.
        processes: Number of processes.
    """
    run: Path = options.out / f'{stage}-{processes}'
    diary = f'{{class_path: compare.Diary, init_args: {{path: {run}.diary}}}}'
    args = [
        'fit', '--config', ROOT / f'configs/{stage}.yaml',
        '--config', ROOT / f'experiments/small/{stage}.yaml', '--run', run,
        *shared(processes), f'--trainer.precision={options.precision}-true',
        f'--trainer.limit_train_batches={options.steps // 2}',
        '--trainer.log_every_n_steps=1', '--trainer.callbacks=[]', '--trainer.callbacks+', diary,
        f'--data.batch_size={2 * options.batch_size // processes}',
    ]  # fmt: skip
    if stage == 'finetune':
        args += ['--model.pretrained', options.out / 'pretrain-1/checkpoints/last.ckpt']
    lipfault(options, *args)
    return run


def metrics_of(stage: str, options: argparse.Namespace, processes: int) -> dict[str, float]:
    """Test the weights that one process has trained, and return the metrics.

    Args:
        stage: `pretrain` or `finetune`.
        options: Options of this script.
        processes: Number of processes of the test.
    """
    weights, run = options.out / f'{stage}-1', options.out / f'{stage}-test-{processes}'
    args = ['--config', weights / 'lipfault_config.yaml', '--ckpt_path', weights, '--run', run]
    args += ['--trainer.callbacks=[]', '--trainer.precision=32-true', *shared(processes)]
    lipfault(options, 'test', *args, f'--data.batch_size={options.batch_size}')
    found: dict[str, float | None] = json.loads((run / 'metrics.json').read_text())
    return {key: math.nan if value is None else value for key, value in found.items()}


def steps(run: Path) -> list[list[dict[str, Any]]]:
    """Return the entries of all processes, by step.

    Args:
        run: Run folder.
    """
    files = sorted(run.parent.glob(f'{run.name}.diary-*.jsonl'))
    pages = [[json.loads(line) for line in file.read_text().splitlines()] for file in files]
    return [list(entries) for entries in zip(*pages, strict=True)]


def mean_loss(entries: list[dict[str, Any]]) -> float:
    """Return the mean loss of a step over the processes.

    Args:
        entries: Entry of each process.
    """
    return float(sum(entry['loss'] for entry in entries) / len(entries))


def windows(entries: list[dict[str, Any]]) -> dict[str, float]:
    """Return the sum of the observed signals of each window of a step, by sample id.

    Args:
        entries: Entry of each process.
    """
    return {k: v for entry in entries for k, v in entry['samples'].items()}


def farthest(left: Path, right: Path) -> float:
    """Return the largest difference of a weight tensor between two runs, relative to its norm.

    Args:
        left: Folder of one run.
        right: Folder of the other run.
    """
    a, b = (read_checkpoint(run / 'checkpoints/last.ckpt')['state_dict'] for run in (left, right))
    changes = [float((a[n].double() - b[n].double()).norm() / a[n].double().norm()) for n in a]
    return max(x for x in changes if x == x)  # NaN: a tensor of zeros in both runs


def compared(stage: str, options: argparse.Namespace) -> dict[str, Any]:
    """Train and test a stage with one process and with two, and return the differences.

    Args:
        stage: `pretrain` or `finetune`.
        options: Options of this script.
    """
    runs = [fit(stage, options, processes) for processes in (1, 2)]
    alone, pair = (steps(run) for run in runs)
    both = list(zip(alone, pair, strict=True))
    losses = [abs(mean_loss(b) / mean_loss(a) - 1) for a, b in both]
    measured = [entries for entries in pair if entries[0]['norms']]
    one, two = (metrics_of(stage, options, processes) for processes in (1, 2))
    return {
        'steps': len(both),
        'steps_with_same_windows_and_faults': sum(windows(a) == windows(b) for a, b in both),
        'loss_first_step': losses[0],
        'loss_largest': max(losses),
        'loss_by_20_steps': [max(losses[n : n + 20]) for n in range(0, len(losses), 20)],
        'weights_largest': farthest(*runs),
        'norm_measurements': len(measured),
        'norm_measurements_equal_in_both_processes': sum(
            a['norms'] == b['norms'] for a, b in measured
        ),
        'test_metrics': len(one),
        'test_metrics_largest_difference': max(abs(one[key] - two[key]) for key in one | two),
    }


def command() -> None:
    """Compare both stages and print the differences."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--steps', type=int, default=200, help='Optimizer steps of each stage.')
    parser.add_argument('--batch_size', type=int, default=8, help='Windows of each of two.')
    parser.add_argument('--precision', type=int, default=64, choices=(32, 64))
    parser.add_argument('--out', type=Path, default=Path('runs/processes'))
    parser.add_argument('--write', action='store_true', help='write the result beside the script')
    options = parser.parse_args()
    options.out = options.out.resolve()
    shutil.rmtree(options.out, ignore_errors=True)
    options.out.mkdir(parents=True)
    found: dict[str, Any] = {stage: compared(stage, options) for stage in STAGES}
    found['made_with'] = __version__
    text = json.dumps(found, indent=2)
    print(text)
    if options.write:
        (HERE / f'result-{options.precision}.json').write_text(text + '\n')


if __name__ == '__main__':
    command()
