"""How much computing a trained compute block needs for a window."""

import json
import time
from statistics import median

import torch

from experiments.runner.results import write_json
from experiments.runner.run import Run
from lipfault.tasks.trained import trained_task

BATCH = 64
REPEATS = 5
FILE = 'speed.json'


def cpu_ms_per_window(run: Run) -> float:
    """CPU milliseconds to detect and correct one window, in batches of 64, on one thread.

    Measured once, on random signals, and kept in the run's folder.
    """
    file = run.folder / FILE
    if not file.exists():
        write_json(file, {'cpu_ms_per_window': _measured(run)})
    return float(json.loads(file.read_text())['cpu_ms_per_window'])


@torch.no_grad()
def _measured(run: Run) -> float:
    task = trained_task(run.where)
    generator = torch.Generator().manual_seed(0)
    signals = {
        name: torch.randn(
            BATCH,
            len(m.channels),
            *(m.size or (task.description.steps[name],)),
            generator=generator,
        )
        for name, m in task.description.modalities.items()
    }
    threads, spent = torch.get_num_threads(), []
    torch.set_num_threads(1)
    try:
        for _ in range(REPEATS + 1):
            start = time.process_time()
            task.block(task.autoencoder, signals)
            spent.append(time.process_time() - start)
    finally:
        torch.set_num_threads(threads)
    return round(1000 * median(spent[1:]) / BATCH, 3)
