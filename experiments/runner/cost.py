"""Size of a trained compute block, and its computing time per window."""

import time
from statistics import median

import torch

from experiments.runner.once import once
from experiments.runner.run import Run
from lipfault.models.blocks.interface.types import Observation
from lipfault.tasks.finetune import FinetuneTask
from lipfault.tasks.trained import trained_task

BATCH = 64
REPEATS = 5


def cost_of(run: Run) -> dict[str, float]:
    """Return size and computing time of the compute block of a run.

    Measured once and cached in the run's folder.

    Args:
        run: A tested run of stage 2.

    Returns:
        `parameters` counts trained weights and closed-form statistics, without stage 1.
        `cpu_ms_per_window` is the CPU time in milliseconds to detect and correct one window, on
        one thread, in batches of 64 windows of noise.
    """
    return once(run, 'cost', lambda: _measured(trained_task(run.where)))


@torch.no_grad()
def _measured(task: FinetuneTask) -> dict[str, float]:
    kept = task.block.state_dict().items()
    # A block holds a copy of the relations, which are learned in stage 1.
    size = sum(w.numel() for n, w in kept if not n.startswith('relations.'))
    generator = torch.Generator().manual_seed(0)
    signals = {
        # (batch, channel, time) or (batch, channel, height, width)
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
            task.block(Observation(signals))
            spent.append(time.process_time() - start)
    finally:
        torch.set_num_threads(threads)
    return {
        'parameters': size,
        'cpu_ms_per_window': round(1000 * median(spent[1:]) / BATCH, 3),  # the first warms up
    }
