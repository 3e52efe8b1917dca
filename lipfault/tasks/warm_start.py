"""Weights of a run on other data as the start of a training."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from lipfault.errors import LipfaultError
from lipfault.models.layers.running_scale import RunningScale
from lipfault.runs.checkpoints import CARD, read_checkpoint
from lipfault.runs.folder import find_checkpoint

TRAINED = {
    'pretrain': ('autoencoder.coders.', 'relations.predictors.'),
    'finetune': ('block.',),
}
"""First parts of the names of trained weights by stage; all others are fitted in closed form."""

CLOSED = ('block.relations.',)
"""Beginnings of names that belong to stage 1."""


@dataclass(frozen=True)
class WarmStart:
    """Parts that start from the weights of another run.

    Args:
        parts: Names of the modules that were loaded.
        message: Line of the log that names them and the others; empty without a warm start.
    """

    parts: frozenset[str] = frozenset()
    message: str = ''


def load_warm(task: nn.Module, path: str, stage: str) -> WarmStart:
    """Load the parts of a task that fit a checkpoint by name and shape.

    A part is one coder, one predictor, or one network of the compute block. It is loaded as a whole
    or not at all.

    Args:
        task: The task, modified in place.
        path: Checkpoint or run folder of the same stage.
        stage: Stage of the task.

    Returns:
        The parts that were loaded.

    Raises:
        LipfaultError: If there is no such checkpoint, it is of the other stage, or no part fits.
    """
    file = find_checkpoint(path)
    checkpoint = read_checkpoint(file)
    if checkpoint[CARD]['stage'] != stage:
        raise LipfaultError(
            f'{file} is of stage {checkpoint[CARD]["stage"]!r}: model.warm_start takes a run of '
            f'stage {stage!r}'
        )
    own, found = _by_part(task.state_dict(), stage), _by_part(checkpoint['state_dict'], stage)
    learned = _learned(task, stage)
    own = {part: tensors for part, tensors in own.items() if not learned.isdisjoint(tensors)}
    fitting = [part for part, tensors in own.items() if _fits(tensors, found.get(part, {}))]
    if not fitting:
        raise LipfaultError(
            f'model.warm_start: nothing of {file} fits: it has {_listed(found)}; '
            f'this model has {_listed(own)}, of other names or sizes'
        )
    with torch.no_grad():
        for part in fitting:
            for name in learned.intersection(own[part]):
                own[part][name].copy_(found[part][name])
    left, unused = [p for p in own if p not in fitting], [p for p in found if p not in fitting]
    return WarmStart(
        frozenset(fitting),
        f'warm start from {file}: loaded {_listed(fitting)}; starting afresh: {_listed(left)}; '
        f'not loaded from there: {_listed(unused)}',
    )


def _learned(task: nn.Module, stage: str) -> set[str]:
    """Names of the tensors that a warm start loads.

    Buffers of a compute block are constants of its own data, such as the sensor noise, or are
    fitted in closed form; only running scales go on from another run. Those of a coder belong to
    its basis.
    """
    if stage != 'finetune':
        return set(task.state_dict())
    scales = {
        f'{name}.{buffer}'
        for name, module in task.named_modules()
        if isinstance(module, RunningScale)
        for buffer, _ in module.named_buffers()
    }
    return scales | {name for name, _ in task.named_parameters()}


def _by_part(tensors: Mapping[str, Tensor], stage: str) -> dict[str, dict[str, Tensor]]:
    """Trained tensors by part: `block.parts.<modality>.<network>`, or three names elsewhere."""
    parts: dict[str, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        if name.startswith(TRAINED[stage]) and not name.startswith(CLOSED):
            depth = 4 if name.startswith('block.parts.') else 3
            parts.setdefault('.'.join(name.split('.')[:depth]), {})[name] = tensor
    return parts


def _fits(own: Mapping[str, Tensor], found: Mapping[str, Tensor]) -> bool:
    """Whether names and shapes agree."""
    return {n: x.shape for n, x in own.items()} == {n: x.shape for n, x in found.items()}


def _listed(parts: Iterable[str]) -> str:
    names = list(parts)
    return ', '.join(names) if names else 'nothing'
