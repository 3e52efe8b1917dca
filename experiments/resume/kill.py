"""Kill short runs at random moments, resume them, and compare the final weights bit for bit.

    python experiments/resume/kill.py --kills 20 --seed 0 --out runs/resume

Half of the runs are of stage 1, half of stage 2. Each is killed (SIGKILL) once, at a moment drawn
uniformly over the time that the uninterrupted run took from the start of its training, and resumed
with `--ckpt_path last`.
"""

import argparse
import json
import multiprocessing
import os
import random
import shutil
import signal
import time
from pathlib import Path
from typing import Any

import torch

from lipfault.cli import CONFIG_NAME  # noqa: F401 (import before the processes fork)
from lipfault.main import main
from lipfault.tasks.checkpoints import read_checkpoint

ROOT = Path(__file__).parents[2]
SMALL = [
    '--trainer.accelerator=cpu',
    '--trainer.max_epochs=4',
    '--trainer.check_val_every_n_epoch=2',
    '--trainer.limit_train_batches=5',
    '--trainer.limit_val_batches=2',
    '--trainer.enable_progress_bar=false',
    '--trainer.enable_model_summary=false',
    '--data.batch_size=16',
    '--data.splits={pretrain: 0.08, finetune: 0.08, calibration: 0.08, test: 0.08, rest: 0.68}',
    '--save_every=2',
]


def arguments(stage: str, out: Path, run: Path) -> list[str]:
    """Arguments of a short run of a stage."""
    args = ['fit', '--config', str(ROOT / f'configs/{stage}.yaml'), *SMALL, '--run', str(run)]
    if stage == 'finetune':
        args += ['--model.pretrained', str(out / 'pretrain')]
        args += ['--model.config.false_alarm_rate=0.1', '--data.stride_s=0.2']
    return args


def started(args: list[str], log: Path) -> multiprocessing.Process:
    """The command line in a process of its own, all it prints in a file."""

    def work() -> None:
        with log.open('a') as file:
            os.dup2(file.fileno(), 1)
            os.dup2(file.fileno(), 2)
        main(args)

    process = multiprocessing.get_context('fork').Process(target=work)
    process.start()
    return process


def differences(left: Path, right: Path) -> list[str]:
    """Names of the tensors that differ between the last checkpoints of two runs, bit for bit."""
    a, b = (tensors(read_checkpoint(run / 'checkpoints/last.ckpt')) for run in (left, right))
    same = a.keys() & b.keys()
    return sorted(a.keys() ^ b.keys()) + sorted(n for n in same if not equal(a[n], b[n]))


def tensors(checkpoint: dict[str, Any]) -> dict[str, torch.Tensor]:
    """Weights and buffers, and the state of the optimizer."""
    found = dict(checkpoint['state_dict'])
    for number, values in checkpoint['optimizer_states'][0]['state'].items():
        found |= {f'optimizer.{number}.{key}': value for key, value in values.items()}
    return found


def equal(left: torch.Tensor, right: torch.Tensor) -> bool:
    """Same bytes, NaN included."""
    raw = [x.detach().cpu().contiguous().reshape(-1).view(torch.uint8) for x in (left, right)]
    return torch.equal(*raw)


def uninterrupted(stage: str, out: Path) -> float:
    """Make the run to compare with; return the seconds from the start of its training."""
    process = started(arguments(stage, out, out / stage), out / f'{stage}.log')
    await_training(process, out / stage)
    start = time.monotonic()
    process.join()
    if process.exitcode:
        raise SystemExit(f'the uninterrupted run failed, see {out / stage}.log')
    return time.monotonic() - start


def await_training(process: multiprocessing.Process, run: Path) -> None:
    """Return when a run starts to train, or has ended."""
    while process.is_alive() and not (run / 'environment.json').exists():
        time.sleep(0.01)


def trial(stage: str, out: Path, number: int, after_s: float) -> dict[str, Any]:
    """Kill a run after some seconds of training, resume it, compare."""
    run = out / f'trial-{number:02d}'
    args, log = arguments(stage, out, run), out / f'trial-{number:02d}.log'
    process = started(args, log)
    await_training(process, run)
    process.join(after_s)
    ended = process.exitcode is not None
    if process.pid is not None and not ended:
        os.kill(process.pid, signal.SIGKILL)
    process.join()
    saved = sorted(f.name for f in (run / 'checkpoints').glob('*')) if run.exists() else []
    step = resumed_step(run)
    resumed = started([*args, '--ckpt_path=last'] if run.exists() else args, log)
    resumed.join()
    wrong = ['exit status'] if resumed.exitcode else differences(out / stage, run)
    if not wrong:
        shutil.rmtree(run)
    return {
        'stage': stage, 'after_s': round(after_s, 2), 'ended': ended, 'saved': saved,
        'step': step, 'differences': wrong,
    }  # fmt: skip


def resumed_step(run: Path) -> int:
    """Optimizer step of the checkpoint that a killed run left, 0 if none."""
    for name in ('last', 'previous'):
        file = run / 'checkpoints' / f'{name}.ckpt'
        if file.is_file():
            return int(read_checkpoint(file)['global_step'])
    return 0


def command() -> None:
    """Run the trials, print a line for each, and write `resume.json`."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--kills', type=int, default=20)
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument('--out', type=Path, default=Path('runs/resume'))
    options = parser.parse_args()
    out = options.out
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    torch.set_num_threads(1)
    moments = random.Random(options.seed)
    took = {stage: uninterrupted(stage, out) for stage in ('pretrain', 'finetune')}
    results = []
    for number in range(options.kills):
        stage = ('pretrain', 'finetune')[number % 2]
        results.append(trial(stage, out, number, moments.uniform(0, took[stage])))
        print(json.dumps(results[-1]), flush=True)
    good = sum(not result['differences'] for result in results)
    print(f'{good} of {options.kills} killed runs ended with the weights of the uninterrupted run')
    (out / 'resume.json').write_text(json.dumps({'took_s': took, 'trials': results}, indent=2))
    raise SystemExit(good < options.kills)


if __name__ == '__main__':
    command()
