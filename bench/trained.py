"""Lipschitz toolkit on a trained run: `python bench/trained.py --ckpt_path RUN`.

Prints the accuracy of the norms of every layer, the tightness of the bounds of corrector and
detector, the cost of the callbacks of the shipped configuration, and the time of the Jacobian's
largest singular value against `torch.func.jacrev`.
"""

import argparse
import math
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
import yaml
from common.page import MEASURED
from torch import Tensor, nn

from lipfault.callbacks.jacobian import JacobianMonitor
from lipfault.callbacks.spectral import SpectralNormMonitor
from lipfault.lipschitz.gains.jacobian import largest_gain
from lipfault.lipschitz.norms.layer_norms import InputSizes, linear_layers
from lipfault.lipschitz.norms.norms import certified_norm, estimate_norm, exact_norm
from lipfault.lipschitz.propagation.composition import module_gain
from lipfault.lipschitz.propagation.lipsdp import lipsdp_bound
from lipfault.runs.folder import find_checkpoint
from lipfault.tasks.finetune import FinetuneTask
from lipfault.tasks.trained import TrainedModel, trained_task


def signals(task: FinetuneTask, samples: int = 1) -> dict[str, Tensor]:
    """Return standardized noise in the shapes of the signals.

    Args:
        task: A trained stage 2.
        samples: Batch size.
    """
    generator = torch.Generator().manual_seed(0)
    shapes = {
        n: (len(m.channels), *(m.size or (task.autoencoder.steps[n],)))
        for n, m in task.description.modalities.items()
    }
    return {n: torch.randn(samples, *s, generator=generator) for n, s in shapes.items()}


def accuracy(task: FinetuneTask) -> Iterator[str]:
    """Yield the largest errors of estimated and certified norms over all layers.

    Args:
        task: A trained stage 2.
    """
    sizes = InputSizes()
    sizes.watch(task)
    TrainedModel(task, 'bench').predict(task.autoencoder.physical(signals(task)))
    worst: dict[str, list[float]] = {}
    for _, layer in linear_layers(task):
        # The norm of a convolution depends on its input size; a layer that did not run has none.
        dense = isinstance(layer, nn.Linear)
        if not dense and layer not in sizes.found:
            continue
        size = sizes.found.get(layer)
        exact = exact_norm(layer, size).value
        if exact == 0:
            continue  # a layer at its zero initialization: errors are relative
        below = 1 - estimate_norm(layer, size).value / exact
        above = certified_norm(layer, size).value / exact - 1
        worst.setdefault('dense' if dense else 'convolution', []).append(abs(below))
        worst.setdefault('dense +' if dense else 'convolution +', []).append(above)
    for kind, goal in (('dense', '1 %'), ('convolution', '10 %')):
        yield (
            f'| {kind}, {len(worst[kind])} layers | {max(worst[kind]):.3%} (goal 0.1 %) | '
            f'{min(worst[kind + " +"]):.4%} to {max(worst[kind + " +"]):.3%} (goal {goal}) |'
        )


def bounds(task: FinetuneTask) -> Iterator[str]:
    """Yield bounds of the dense parts relative to products of norms.

    Args:
        task: A trained stage 2 with the fault-map block.
    """
    corrector, detector = task.block.corrector, task.block.detector
    parts = {'detector': detector.layers}
    for name, head in corrector.heads.items():
        parts[f'corrector to {name}'] = nn.Sequential(*corrector.trunk, head)
    # Products of norms and slopes bound every net; the columns show by how much others are lower.
    for name, net in parts.items():
        found = lipsdp_bound(net)
        raw = math.prod(exact_norm(layer).value for _, layer in linear_layers(net))
        quick = module_gain(net, (1, net[0].in_features))
        yield (
            f'| {name} | {found.product:.4g} | {quick / found.product:.3f} | '
            f'{found.bound / found.product:.3f} | {raw:.4g} | {found.bound / raw:.3f} |'
        )


HEADS = {
    'accuracy': '| layers | estimate, largest error | certificate above exact |',
    'bounds': '| path | product of norms and slopes | `propagate` / it | `lipsdp_bound` / it '
    '| product of norms | `lipsdp_bound` / it |',
    'monitors': '| callback | one measurement | every | share of training |',
    'jacobian': '| path | Jacobian | ours | jacrev, SVD | ratio | error |',
}
"""Heads of the tables."""

CALLBACKS: dict[Any, int] = {SpectralNormMonitor: 50, JacobianMonitor: 200}
"""Callbacks, and their default number of steps between two measurements."""


def monitors(run: str) -> Iterator[str]:
    """Yield the time of each callback relative to the training step of stage 2.

    Args:
        run: Folder of a trained run, from which weights are loaded.
    """
    with timed_callbacks() as spent:
        steps = step_durations(run)
    # The first steps include allocations and the first measurement of each callback.
    step, total = statistics.median(steps[5:]), 0.0
    for each, every in CALLBACKS.items():
        took = statistics.median(spent[each][1:])
        total += took / every / step
        yield f'| {each.__name__} | {1e3 * took:.1f} ms | {every} | {took / every / step:.2%} |'
    yield f'| both | training step {1e3 * step:.0f} ms | | {total:.2%} (goal 2 %) |'


@contextmanager
def timed_callbacks() -> Iterator[dict[Any, list[float]]]:
    """Time the measurements of `CALLBACKS`; yield their wall-clock seconds by callback."""
    spent: dict[Any, list[float]] = {each: [] for each in CALLBACKS}

    def timed(each: Any, look: Callable[..., object]) -> Callable[..., object]:  # noqa: ANN401
        def call(*args: object) -> object:
            start = time.perf_counter()
            values = look(*args)
            spent[each].append(time.perf_counter() - start)
            return values

        return call

    untimed = {each: each.look for each in CALLBACKS}
    try:
        for each, look in untimed.items():
            each.look = timed(each, look)
        yield spent
    finally:
        for each, look in untimed.items():
            each.look = look


def step_durations(run: str) -> list[float]:
    """Train 40 steps of the shipped stage 2 and return the seconds of each.

    Args:
        run: Folder of a trained run, from which weights are loaded.
    """
    from lipfault.cli.lightning import build

    # Every 4 steps instead of the default cadence: 40 steps then have enough measurements.
    entries = [
        {'class_path': f'{each.__module__}.{each.__name__}', 'init_args': {'every': 4}}
        for each in CALLBACKS
    ]
    with tempfile.TemporaryDirectory() as folder:
        often = Path(folder) / 'often.yaml'
        often.write_text(yaml.safe_dump({'trainer': {'callbacks': entries}}))
        options = [
            ('config', 'configs/finetune.yaml'), ('config', often), ('run', f'{folder}/run'),
            ('model.pretrained', find_checkpoint(run)), ('data.cache', 'none'),
            ('trainer.limit_train_batches', 40), ('trainer.max_epochs', 1),
            ('trainer.limit_val_batches', 0), ('trainer.profiler', 'simple'),
        ]  # fmt: skip
        cli = build(['fit', *(str(w) for k, v in options for w in (f'--{k}', v))])
    durations: list[float] = cli.trainer.profiler.recorded_durations['run_training_batch']
    return durations


def whole_path(task: FinetuneTask) -> Iterator[str]:
    """Yield the time of the Jacobian's largest singular value, for each pair of modalities.

    Args:
        task: A trained stage 2.
    """
    x = signals(task)
    # The full Jacobian of an image takes minutes, so small outputs come first.
    small_first = sorted(x, key=lambda n: x[n].numel())
    for output in small_first:
        for source in small_first:

            def path(part: Tensor, source: str = source, output: str = output) -> Tensor:
                corrected = task.block.impute(x | {source: part})
                return corrected[output].flatten(1)

            start = time.process_time()
            found = float(largest_gain(path, x[source]).sigma)
            ours, start = time.process_time() - start, time.process_time()
            # (output, input): row by row, 64 rows at a time to limit the memory.
            jacobian = torch.func.jacrev(lambda v: path(v[None])[0], chunk_size=64)(x[source][0])
            right = float(torch.linalg.matrix_norm(jacobian.flatten(1), 2))
            theirs = time.process_time() - start
            yield (
                f'| {source} to {output} | {tuple(jacobian.flatten(1).shape)} | {ours:.2f} s | '
                f'{theirs:.1f} s | {theirs / ours:.0f}x (goal 50x) | {found / right - 1:+.2%} |'
            )


def main() -> None:
    """Print the tables as Markdown."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--ckpt_path', default='runs/demo/finetune')
    parser.add_argument('--only', nargs='*', choices=list(HEADS), help='tables; default: all')
    options = parser.parse_args()
    run = options.ckpt_path
    if not Path(run).exists():
        print(f'{run} does not exist: run `make demo` first, or give --ckpt_path')
        return
    torch.set_num_threads(1)
    warnings.simplefilter('ignore')
    task = trained_task(run)
    # Generators: a table that is not asked for costs nothing.
    parts = {
        'accuracy': accuracy(task),
        'bounds': bounds(task),
        'monitors': monitors(run),
        'jacobian': whole_path(task),
    }
    print(MEASURED)
    for name in options.only or parts:
        print(f'\n{HEADS[name]}\n|' + '---|' * (HEADS[name].count('|') - 1))
        for row in parts[name]:
            print(row, flush=True)


if __name__ == '__main__':
    main()
