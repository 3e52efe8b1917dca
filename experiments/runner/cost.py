"""How large a trained compute block is, and how much computing it needs for a window."""

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
    """`parameters` of the compute block, and `cpu_ms_per_window` to detect and correct a window.

    Those fitted in closed form count, those from stage 1 do not. The time is that of the CPU, on
    one thread, in batches of 64 random windows. Measured once, kept in the run's folder.
    """
    return once(run, 'cost', lambda: _measured(trained_task(run.where)))


@torch.no_grad()
def _measured(task: FinetuneTask) -> dict[str, float]:
    kept = task.block.state_dict().items()
    size = sum(w.numel() for n, w in kept if not n.startswith('relations.'))
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
            task.block(Observation(signals))
            spent.append(time.process_time() - start)
    finally:
        torch.set_num_threads(threads)
    return {
        'parameters': size,
        'cpu_ms_per_window': round(1000 * median(spent[1:]) / BATCH, 3),
    }
