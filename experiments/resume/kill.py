"""Kill short runs at random times, resume them, and compare the final weights bit by bit.

    python experiments/resume/kill.py --kills 20 --seed 0 --write

Half of the runs are of stage 1, half of stage 2. Each is killed (SIGKILL) once, at a time drawn
uniformly from the training time of the uninterrupted run, and resumed with `--ckpt_path last`.
Networks are small (`experiments/small`); a checkpoint is due every third step.
"""

import argparse
import json
import multiprocessing
import os
import random
import shutil
import signal
import time
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import torch

from lipfault import __version__
from lipfault.cli.lightning import build
from lipfault.runs.checkpoints import read_checkpoint

ROOT = Path(__file__).parents[2]
SHORT = [
    '--trainer.max_epochs=4',
    '--trainer.limit_train_batches=10',
    '--trainer.limit_val_batches=2',
    '--data.batch_size=8',
    '--save_every=3',
]


def arguments(stage: str, out: Path, run: Path) -> list[str]:
    """Return the arguments of a short run.

    Args:
        stage: `pretrain` or `finetune`.
        out: Folder of all runs; stage 2 loads stage 1 from it.
        run: Folder of the run.
    """
    configs = [
        f'--config={ROOT}/{folder}/{stage}.yaml' for folder in ('configs', 'experiments/small')
    ]
    args = ['fit', *configs, *SHORT, '--run', str(run)]
    if stage == 'finetune':
        args += ['--model.pretrained', str(out / 'pretrain')]
    return args


def started(args: list[str], log: Path) -> BaseProcess:
    """Start the command line in a process of its own.

    Args:
        args: Arguments of `lipfault`.
        log: File for its output.
    """

    def work() -> None:
        with log.open('a') as file:
            os.dup2(file.fileno(), 1)
            os.dup2(file.fileno(), 2)
        build(args)  # `lipfault fit` without its report

    # Forked: PyTorch is already imported, so that a kill falls into training, not into imports.
    process = multiprocessing.get_context('fork').Process(target=work)
    process.start()
    return process


def tensor_diff(left: Path, right: Path) -> list[str]:
    """Return the names of tensors that differ between the last checkpoints of two runs.

    Args:
        left: Folder of one run.
        right: Folder of the other run.
    """
    a, b = (tensors(read_checkpoint(run / 'checkpoints/last.ckpt')) for run in (left, right))
    same = a.keys() & b.keys()
    return sorted(a.keys() ^ b.keys()) + sorted(n for n in same if not equal(a[n], b[n]))


def tensors(checkpoint: dict[str, Any]) -> dict[str, torch.Tensor]:
    """Return weights, buffers and the state of the optimizer by name.

    Args:
        checkpoint: Content of a checkpoint.
    """
    found = dict(checkpoint['state_dict'])
    for number, values in checkpoint['optimizer_states'][0]['state'].items():
        found |= {f'optimizer.{number}.{key}': value for key, value in values.items()}
    return found


def equal(left: torch.Tensor, right: torch.Tensor) -> bool:
    """Return whether two tensors have the same bytes; NaN equals itself.

    Args:
        left: One tensor.
        right: The other tensor.
    """
    raw = [x.detach().cpu().contiguous().reshape(-1).view(torch.uint8) for x in (left, right)]
    return torch.equal(*raw)


def uninterrupted(stage: str, out: Path) -> float:
    """Train the reference run and return the wall-clock seconds of its training.

    Args:
        stage: `pretrain` or `finetune`.
        out: Folder of all runs.
    """
    process = started(arguments(stage, out, out / stage), out / f'{stage}.log')
    await_training(process, out / stage)
    start = time.monotonic()
    process.join()
    if process.exitcode:
        raise SystemExit(f'the uninterrupted run failed, see {out / stage}.log')
    return time.monotonic() - start


def await_training(process: BaseProcess, run: Path) -> None:
    """Wait until a run starts to train, or has ended.

    Args:
        process: Process of the run.
        run: Folder of the run.
    """
    while process.is_alive() and not (run / 'environment.json').exists():
        time.sleep(0.01)


def killed(args: list[str], run: Path, log: Path, after_s: float) -> float:
    """Start a run and kill it; repeat with half the delay if it ends before.

    Args:
        args: Arguments of `lipfault`.
        run: Folder of the run.
        log: File for its output.
        after_s: Seconds of training before the kill.

    Returns:
        Seconds of training before the kill that was effective.
    """
    while True:
        shutil.rmtree(run, ignore_errors=True)
        process = started(args, log)
        await_training(process, run)
        process.join(after_s)
        if process.is_alive() and process.pid is not None:
            os.kill(process.pid, signal.SIGKILL)
            process.join()
            if process.exitcode == -signal.SIGKILL:
                return after_s
        elif process.exitcode:
            raise SystemExit(f'a run failed before it was killed, see {log}')
        after_s /= 2


def trial(stage: str, out: Path, number: int, after_s: float) -> dict[str, Any]:
    """Kill a run, resume it, and compare it with the reference run.

    Args:
        stage: `pretrain` or `finetune`.
        out: Folder of all runs.
        number: Number of the trial.
        after_s: Seconds of training before the kill.

    Returns:
        Result of the trial, plain values.
    """
    run = out / f'trial-{number:02d}'
    args, log = arguments(stage, out, run), out / f'trial-{number:02d}.log'
    after_s = killed(args, run, log, after_s)
    saved, step = sorted(f.name for f in (run / 'checkpoints').glob('*')), resumed_step(run)
    resumed = started([*args, '--ckpt_path=last'], log)
    resumed.join()
    # The weights are compared only if the resumed run has ended normally.
    wrong = ['exit status'] if resumed.exitcode else tensor_diff(out / stage, run)
    if not wrong:
        shutil.rmtree(run)
    return {
        'stage': stage, 'after_s': round(after_s, 2), 'saved': saved, 'step': step,
        'differences': wrong,
    }  # fmt: skip


def resumed_step(run: Path) -> int:
    """Return the optimizer step of the checkpoint that a killed run left, 0 if none.

    Args:
        run: Folder of the run.
    """
    # A kill while `last` is replaced leaves the checkpoint before it as `previous`.
    for name in ('last', 'previous'):
        file = run / 'checkpoints' / f'{name}.ckpt'
        if file.is_file():
            return int(read_checkpoint(file)['global_step'])
    return 0


def command() -> None:
    """Run the trials and print a line for each; exit with 1 if any differs."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--kills', type=int, default=20)
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument('--out', type=Path, default=Path('runs/resume'))
    parser.add_argument('--write', action='store_true', help='write the result beside the script')
    options = parser.parse_args()
    out = options.out
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    # Sums on one thread have one order, which a comparison bit by bit needs.
    torch.set_num_threads(1)
    moments = random.Random(options.seed)
    took = {stage: uninterrupted(stage, out) for stage in ('pretrain', 'finetune')}
    results = []
    for number in range(options.kills):
        stage = ('pretrain', 'finetune')[number % 2]
        results.append(trial(stage, out, number, moments.uniform(0, took[stage])))
        print(json.dumps(results[-1]), flush=True)
    good = sum(not result['differences'] for result in results)
    late = sum(result['step'] > 0 for result in results)
    print(f'{late} of {options.kills} killed runs had a checkpoint')
    print(f'{good} of {options.kills} killed runs ended with the weights of the uninterrupted run')
    if options.write:
        text = json.dumps({'made_with': __version__, 'took_s': took, 'trials': results}, indent=2)
        (Path(__file__).parent / 'result.json').write_text(text + '\n')
    raise SystemExit(good < options.kills)


if __name__ == '__main__':
    command()
