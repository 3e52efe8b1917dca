"""Callbacks and loggers of a run, and the files of one that failed to start."""

import shutil
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback, ModelCheckpoint, ProgressBar
from lightning.pytorch.cli import SaveConfigCallback
from lightning.pytorch.loggers import Logger, TensorBoardLogger
from rich.console import Console

from lipfault.callbacks.early_end import EarlyEnd
from lipfault.callbacks.last_checkpoint import LastCheckpoint
from lipfault.cli.figures import metrics_text
from lipfault.cli.run_options import ExtraLogger
from lipfault.runs.atomic import replacing
from lipfault.runs.launch import first_process
from lipfault.runs.layout import RunFolder
from lipfault.runs.metrics_logger import MetricsLogger
from lipfault.runs.reading import escaped


class SavedConfig(SaveConfigCallback):
    """Write the configuration of a fit into its run folder, completely or not at all."""

    def save_config(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Write the file.

        Args:
            trainer: The trainer, whose root folder is the run folder.
            pl_module: Not used.
            stage: Not used.
        """
        text = self.parser.dump(self.config, skip_none=False)
        path = RunFolder(Path(trainer.default_root_dir)).config
        with replacing(path, overwrite=True) as temporary:
            temporary.write_text(text, encoding='utf-8')


def discard_start(run: Path) -> None:
    """Remove the files of a fit that failed before its first step; keep the folder.

    Args:
        run: The run folder, empty when the fit began.
    """
    if not first_process() or not run.is_dir():
        return
    for entry in run.iterdir():
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry, ignore_errors=True)
        else:
            entry.unlink(missing_ok=True)


def checkpointing(run: Path, every: int) -> list[Callback]:
    """Return the callbacks that save `best.ckpt` by `val/loss`, and `last.ckpt`.

    Args:
        run: The run folder.
        every: Optimizer steps between two saves of `last.ckpt`.

    Returns:
        Three callbacks: the first ends a training that had stopped early; the last comes after that
        of `best.ckpt`, since `last.ckpt` also holds which checkpoint was best.
    """
    folder = RunFolder(run).checkpoints
    best = ModelCheckpoint(
        dirpath=folder, filename='best', monitor='val/loss', enable_version_counter=False
    )
    return [EarlyEnd(), best, LastCheckpoint(folder, every)]


def local_loggers(run: Path, extra: list[ExtraLogger]) -> list[Logger]:
    """Return the loggers that write into the run folder.

    Args:
        run: The run folder.
        extra: Loggers beside `metrics.csv`.

    Returns:
        A logger of `metrics.csv`, and one of TensorBoard if `extra` names it.
    """
    loggers: list[Logger] = [MetricsLogger(run)]
    if 'tensorboard' in extra:
        loggers.append(TensorBoardLogger(run, name='tensorboard', version=''))
    return loggers


def wandb_logger(run: Path, stage: str, group: str, settings: dict[str, Any]) -> Logger:
    """Make the logger of a stage in W&B.

    Args:
        run: The run folder.
        stage: Name of the stage.
        group: Group of the run.
        settings: Complete configuration in plain types.

    Returns:
        The logger.
    """
    # wandb takes a second to import: only for those who log to it.
    from lipfault.tracking.stage_logger import StageLogger

    return StageLogger(run, stage, group, settings)


def needs_lines(callbacks: Sequence[Callback]) -> bool:
    """Return whether progress is to be printed as lines: no terminal, and no bar configured.

    Args:
        callbacks: The callbacks of the trainer.
    """
    return not sys.stdout.isatty() and not any(isinstance(c, ProgressBar) for c in callbacks)


def ended_by_signal(subcommand: str) -> str:
    """Return what to print about a command that SIGTERM has ended.

    Args:
        subcommand: `fit`, `validate`, `test` or `predict`.
    """
    if subcommand == 'fit':
        return 'ended by SIGTERM after a save; resume with --ckpt_path last'
    return f'{subcommand} was ended by SIGTERM: its results are missing or those of an earlier one'


def as_list(given: Any) -> list[Any]:  # noqa: ANN401
    """Return None, one or several values as a list.

    Args:
        given: A setting of the trainer.

    Returns:
        The values.
    """
    if given is None:
        return []
    return list(given) if isinstance(given, list | tuple) else [given]


def print_metrics(subcommand: str, logged: Mapping[str, Any]) -> None:
    """Print the metrics of an evaluation as a table.

    Args:
        subcommand: `validate` or `test`.
        logged: Values by name, as the trainer holds them.
    """
    # Lightning adds the loader to the name of a metric logged in one of several.
    metrics = {key.split('/dataloader_idx_')[0]: float(value) for key, value in logged.items()}
    text = escaped(metrics_text(f'{subcommand.capitalize()} metrics', metrics))
    Console().print(text, highlight=False, markup=False, soft_wrap=True)


def stage_of(config: Any) -> str:  # noqa: ANN401
    """Return the name of the stage that a configuration trains.

    Args:
        config: Configuration of a subcommand.

    Returns:
        `pretrain`, `finetune`, or the name of a task of the user's own.
    """
    return str(config.model.class_path.rsplit('.', 1)[-1].removesuffix('Task').lower())


def end_processes(trainer: Trainer) -> None:
    """End the processes that Lightning has started from this one.

    Args:
        trainer: The trainer.
    """
    launcher: Any = trainer.strategy.launcher
    if hasattr(launcher, 'kill'):
        launcher.kill(signal.SIGKILL)
