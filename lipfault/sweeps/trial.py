"""Run one trial in its own process, and read its metrics."""

import math
import subprocess
from pathlib import Path

from lipfault.report.run import load_run


def run_trial(command: list[str], folder: Path, lock: int) -> dict[str, float] | None:
    """Run a trial, or resume it if its run was interrupted.

    The output of the process is appended to a file beside the run folder.

    Args:
        command: `lipfault fit ...`, without `--run`.
        folder: Run folder of the trial.
        lock: Descriptor of a locked file; the process inherits it and holds the trial until it
            ends.

    Returns:
        The last value of every logged metric, None if the process failed.
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
            process.terminate()  # SIGTERM: lipfault saves a checkpoint before it stops
            process.wait()
            raise
    return last_values(folder) if status == 0 else None


def log_file(folder: Path) -> Path:
    """Return the file with the output of a trial.

    Args:
        folder: Run folder of the trial.

    Returns:
        A file beside the folder, which must be empty when the run starts.
    """
    return folder.with_name(f'{folder.name}.log')


def last_values(folder: Path) -> dict[str, float]:
    """Return the last value of each metric in `metrics.csv`.

    Args:
        folder: A run folder.

    Returns:
        Finite values by name.

    Raises:
        LipfaultError: If the folder holds no metrics.
    """
    values = {name: float(curve.value[-1]) for name, curve in load_run(folder).history.items()}
    return {name: value for name, value in values.items() if math.isfinite(value)}
