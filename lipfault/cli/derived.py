"""Settings of a fit that are derived from the recordings, and its checks before the training."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

from annotated_types import Interval
from lightning.pytorch.utilities import rank_zero_info, rank_zero_warn

from lipfault.domains import MOST, Count, NonNegative, Positive, require
from lipfault.errors import LipfaultError
from lipfault.runs.config import read_config
from lipfault.runs.folder import RunFolder, find_checkpoint
from lipfault.tasks.base import BaseTask
from lipfault.tasks.preflight import FitData, require_calibration, small_splits

EPOCHS, LEAST_STEPS = 8, 600
"""Epochs of a fit whose configuration states none, and the fewest optimizer steps: smaller sets get
more epochs. The smallest shipped set has 600 steps in 20 epochs of stage 1."""

LENGTHS = ('window_s', 'stride_s', 'history_s')

_DOMAINS = {
    'window_s': Positive,
    'stride_s': Positive,
    'history_s': NonNegative,
    'batch_size': Count,
    'max_epochs': Annotated[int, Interval(ge=-1, le=MOST)],
}


def lengths_of_stage_one(config: Any) -> dict[str, float]:  # noqa: ANN401
    """Read the window lengths of the run of stage 1 that a fit of stage 2 builds on.

    Args:
        config: Configuration of the fit.

    Returns:
        Those lengths that the configuration leaves open and the run states.

    Raises:
        LipfaultError: If there is no such run, or its configuration is damaged.
    """
    pretrained = config.model.init_args.get('pretrained')
    wanted = [key for key in LENGTHS if config.data.get(key) is None]
    if pretrained is None or not wanted:
        return {}
    saved = RunFolder.of(find_checkpoint(pretrained)).config
    found = _numbers(saved, 'data', wanted) if saved.is_file() else {}
    return {key: float(value) for key, value in found.items()}


def settings_of_run(config: Any, run: Path) -> None:  # noqa: ANN401
    """Take over the derived settings of a run that is resumed, where a fit leaves them open.

    Args:
        config: Configuration of the fit, modified in place.
        run: The run folder.

    Raises:
        LipfaultError: If the configuration of the run is damaged.
    """
    saved = RunFolder(run).config
    if not saved.is_file():
        return
    for part, keys in (('data', (*LENGTHS, 'batch_size')), ('trainer', ('max_epochs',))):
        wanted = [key for key in keys if config[part].get(key) is None]
        for key, value in _numbers(saved, part, wanted).items():
            config[part][key] = value


def _numbers(file: Path, part: str, keys: Sequence[str]) -> dict[str, float]:
    """Return those numbers that a section of the configuration of a run states."""
    section = read_config(file).get(part) or {}
    if not isinstance(section, dict):
        raise LipfaultError(f'{file}: {part} must hold settings by name, holds {section!r}')
    found = {key: section[key] for key in keys if section.get(key) is not None}
    for key, value in found.items():
        require(value, _DOMAINS[key], f'{file}: {part}.{key}')
    return found


def keep_derived(config: Any, trainer: dict[str, Any], data: FitData) -> None:  # noqa: ANN401
    """Write settings derived from the recordings into the configuration of a fit.

    Args:
        config: Configuration of the fit, modified in place.
        trainer: Arguments of the trainer, modified in place.
        data: The DataModule.
    """
    derive_epochs(trainer, data)
    for key in ('max_epochs', 'check_val_every_n_epoch'):
        config.trainer[key] = trainer.get(key)
    for key, value in data.settings.items():
        config.data[key] = value


def derive_epochs(trainer: dict[str, Any], data: FitData) -> None:
    """Set the number of epochs where a configuration leaves it open, and say so.

    Args:
        trainer: Arguments of the trainer, modified in place.
        data: The DataModule.
    """
    bounded = trainer.get('max_steps', -1) != -1 or trainer.get('max_time') is not None
    if trainer.get('max_epochs') is None and not bounded:
        trainer['max_epochs'] = _epochs(trainer, data)
    epochs, every = trainer.get('max_epochs'), trainer.get('check_val_every_n_epoch')
    if epochs and epochs > 0 and every and every > epochs:
        # Without a validation there is no best checkpoint and no threshold.
        trainer['check_val_every_n_epoch'] = epochs


def _epochs(trainer: dict[str, Any], data: FitData) -> int:
    """Epochs that give enough steps; the usual number where the batches are limited."""
    if trainer.get('limit_train_batches') is not None or trainer.get('fast_dev_run'):
        return EPOCHS
    batches = max(1, data.count(data.train_split) // data.batch_size)
    epochs = max(EPOCHS, math.ceil(LEAST_STEPS / batches))
    # The last epoch ends with a validation.
    every = min(EPOCHS, trainer.get('check_val_every_n_epoch') or 1)
    epochs = math.ceil(epochs / every) * every
    if epochs > EPOCHS:
        rank_zero_info(
            f'trainer.max_epochs={epochs}: {batches} batches in an epoch, '
            f'{epochs * batches} steps in all'
        )
    return epochs


def check_fit(model: BaseTask, data: FitData, trainer: Any) -> None:  # noqa: ANN401
    """Check settings and data of a fit before anything is trained or written.

    Args:
        model: The task.
        data: The DataModule.
        trainer: The trainer.

    Raises:
        LipfaultError: If the fit could not end, with the setting at fault and what fits.
    """
    model.check_settings()
    for line in small_splits(data):
        rank_zero_warn(line)
    if data.batch_size != 64:
        rank_zero_info(f'data.batch_size={data.batch_size}')
    for line in model.sizes_in_words():
        rank_zero_info(line)
    limit, rate = trainer.limit_val_batches, model.false_alarm_rate
    if rate is not None and limit:
        most = limit * data.batch_size * trainer.world_size if isinstance(limit, int) else None
        require_calibration(data, rate, float(data.settings['stride_s']), most)
