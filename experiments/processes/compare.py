"""Train the same steps with one process and with two; compare losses and samples.

    python experiments/processes/compare.py --steps 20 --out runs/processes

One process has batches of 2B windows, two have B each. Prints the largest relative difference of
the loss (mean over the processes) and of the weights, for both stages, in 32-bit precision.
"""

import argparse
import json
import multiprocessing
import shutil
import sys
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer

from lipfault.batch import Batch
from lipfault.main import main
from lipfault.tasks.checkpoints import read_checkpoint

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
SPLITS = '{pretrain: 0.1, finetune: 0.1, calibration: 0.05, test: 0.05, unused: 0.7}'


class LossDiary(Callback):
    """Writes the loss, the samples and the sum of what was observed, step by step.

    Args:
        path: File to write to, one for each process: the rank is added to its name.
    """

    def __init__(self, path: str) -> None:
        """Nothing is written yet."""
        self.path = path

    def on_train_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,  # noqa: ANN401
        batch: Batch,
        batch_idx: int,
    ) -> None:
        """Add a line."""
        sums = sum(x.double().flatten(1).sum(1) for x in batch.observed.values())
        line = {
            'loss': float(outputs['loss']),
            'samples': dict(zip(batch.sample_id.tolist(), sums.tolist(), strict=True)),  # type: ignore[union-attr]
        }
        with Path(f'{self.path}-{trainer.global_rank}.jsonl').open('a') as file:
            file.write(json.dumps(line) + '\n')


def fit(stage: str, out: Path, processes: int, options: argparse.Namespace) -> Path:
    """Train some steps of a stage; return the run folder."""
    run = out / f'{stage}-{processes}'
    diary = (
        f'{{class_path: compare.LossDiary, init_args: {{path: {out.resolve()}/{run.name}.losses}}}}'
    )
    strategy = 'auto' if processes == 1 else 'ddp_fork'
    args = [
        'fit', '--config', ROOT / f'configs/{stage}.yaml', '--run', run,
        '--trainer.accelerator', 'cpu',
        '--trainer.precision', '32', '--trainer.devices', processes, '--trainer.callbacks', '[]',
        '--trainer.strategy', strategy, '--trainer.callbacks+', diary,
        '--trainer.max_steps', options.steps, '--trainer.limit_val_batches', '0',
        '--data.splits', SPLITS, '--data.batch_size', 2 * options.batch_size // processes,
    ]  # fmt: skip
    if stage == 'finetune':
        args += ['--model.pretrained', out / 'pretrain-1/checkpoints/last.ckpt']
    process = multiprocessing.get_context('fork').Process(target=main, args=(list(map(str, args)),))
    process.start()
    process.join()
    if process.exitcode:
        raise SystemExit(f'the run in {run} failed')
    return run


def steps(run: Path) -> list[dict[str, Any]]:
    """For each step the mean loss and the samples of all processes."""
    files = sorted(run.parent.glob(f'{run.name}.losses-*.jsonl'))
    pages = [[json.loads(line) for line in file.read_text().splitlines()] for file in files]
    return [
        {
            'loss': sum(entry['loss'] for entry in entries) / len(entries),
            'samples': {k: v for entry in entries for k, v in entry['samples'].items()},
        }
        for entries in zip(*pages, strict=True)
    ]


def farthest(left: Path, right: Path) -> float:
    """Largest change of a weight tensor between two runs, relative to its norm."""
    a, b = (read_checkpoint(run / 'checkpoints/last.ckpt')['state_dict'] for run in (left, right))
    changes = [float((a[n].double() - b[n].double()).norm() / a[n].double().norm()) for n in a]
    return max(x for x in changes if x == x)


def command() -> None:
    """Run both stages both ways and print what differs."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--steps', type=int, default=20)
    parser.add_argument('--batch_size', type=int, default=16, help='Of each of two processes.')
    parser.add_argument('--out', type=Path, default=Path('runs/processes'))
    options = parser.parse_args()
    out = options.out.resolve()
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    for stage in ('pretrain', 'finetune'):
        runs = [fit(stage, out, processes, options) for processes in (1, 2)]
        alone, pair = (steps(run) for run in runs)
        same = [a['samples'] == b['samples'] for a, b in zip(alone, pair, strict=True)]
        losses = [abs(b['loss'] / a['loss'] - 1) for a, b in zip(alone, pair, strict=True)]
        print(
            f'{stage}: {len(alone)} steps, same samples and faults in {sum(same)}, losses differ '
            f'by at most {max(losses):.1e} (first step {losses[0]:.1e}), weights by '
            f'{farthest(*runs):.1e}'
        )


if __name__ == '__main__':
    torch.set_num_threads(1)
    sys.path.insert(0, str(HERE))
    command()
