"""Check the numbers and switches of Lightning's trainer, which declares no domains."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Literal, TypeAlias

from lipfault.domains import Count, CountOrZero, Positive, PositiveShare, require
from lipfault.errors import LipfaultError
from lipfault.tasks.finetune_config import NO_CLIP_VAL

_Endless: TypeAlias = Count | Literal[-1]
_Limit: TypeAlias = Count | PositiveShare
_LimitOrNone: TypeAlias = _Limit | Literal[0]

DOMAINS: dict[str, Any] = {
    'max_epochs': _Endless,
    'min_epochs': CountOrZero,
    'max_steps': _Endless,
    'min_steps': CountOrZero,
    'limit_train_batches': _Limit,
    'limit_val_batches': _LimitOrNone,
    'limit_test_batches': _Limit,
    'limit_predict_batches': _Limit,
    'overfit_batches': _LimitOrNone,
    'val_check_interval': _Limit,
    'check_val_every_n_epoch': Count,
    'num_sanity_val_steps': CountOrZero | Literal[-1],
    'log_every_n_steps': CountOrZero,
    'accumulate_grad_batches': Count,
    'gradient_clip_val': Positive,
    'reload_dataloaders_every_n_epochs': CountOrZero,
    'num_nodes': Count,
}
"""Domain by name of the option, where it is given a number."""

_SHORT = (
    'a run keeps its checkpoints and metrics; to see that everything runs, add --config '
    'trainer/smoke'
)
_SWITCHES = {'barebones': True, 'fast_dev_run': True, 'enable_checkpointing': False}
"""Values of switches that leave a run without its files."""


def check_trainer(trainer: Mapping[str, Any], model: str) -> None:
    """Check the settings of the trainer before anything is built.

    Args:
        trainer: Parsed settings by name.
        model: Class path of the task.

    Raises:
        LipfaultError: Names the first setting that is outside its domain, or that has no effect or
            an unwanted one.
    """
    for name, domain in DOMAINS.items():
        value = trainer.get(name)
        if isinstance(value, int | float) and not isinstance(value, bool):
            require(value, domain, f'trainer.{name}')
    for name, refused in _SWITCHES.items():
        value = trainer.get(name)
        if value is not None and bool(value) is refused:
            raise LipfaultError(f'trainer.{name}: must not be {value}: {_SHORT}')
    is_second = model == 'lipfault.tasks.finetune.FinetuneTask'
    if is_second and trainer.get('gradient_clip_val') is not None:
        raise LipfaultError(NO_CLIP_VAL)


@contextmanager
def trainer_errors() -> Iterator[None]:
    """Word the errors of building the trainer, which names its arguments itself.

    Yields:
        Nothing.

    Raises:
        LipfaultError: If an argument has no valid value, such as a device that there is not.
    """
    try:
        yield
    except (TypeError, ValueError) as error:
        raise LipfaultError(f'trainer: {" ".join(str(error).split())[:300]}') from error
