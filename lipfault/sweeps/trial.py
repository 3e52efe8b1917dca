"""One trial: a command in a process of its own, and the metrics that it leaves."""

import math
import subprocess
from pathlib import Path

from lipfault.report.run import load_run


def run_trial(command: list[str], folder: Path, lock: int) -> dict[str, float] | None:
    """Run a trial, or go on with it where its run was cut off.

    What it prints goes to a file beside the run folder.

    Args:
        command: `lipfault fit ...`, without `--run`.
        folder: Its run folder.
        lock: Descriptor that the process inherits, so that the trial counts as held while it lives.

    Returns:
        The last value of every metric that it logged, None if it failed.
    """
    resume = ['--ckpt_path=last'] if folder.exists() else []
    with log_file(folder).open('ab') as log:
        process = subprocess.Popen(
            [*command, f'--run={folder}', *resume],
            stdout=log,
            stderr=subprocess.STDOUT,
            pass_fds=[lock],
        )
        try:
            status = process.wait()
        except BaseException:
            process.terminate()  # lipfault saves first
            process.wait()
            raise
    return last_values(folder) if status == 0 else None


def log_file(folder: Path) -> Path:
    """Where a trial with this run folder prints."""
    return folder.with_name(f'{folder.name}.log')


def last_values(folder: Path) -> dict[str, float]:
    """The last finite value of each metric in `metrics.csv` of a run folder."""
    values = {name: float(curve.value[-1]) for name, curve in load_run(folder).history.items()}
    return {name: value for name, value in values.items() if math.isfinite(value)}
