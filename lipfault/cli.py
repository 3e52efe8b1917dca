"""The command line of both stages: LightningCLI, with one folder for each run."""

import os
import time
import warnings
from pathlib import Path
from typing import Any, Literal

import yaml
from lightning.pytorch.callbacks import Callback, ModelCheckpoint
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI
from lightning.pytorch.loggers import CSVLogger, Logger, TensorBoardLogger, WandbLogger
from lightning.pytorch.utilities import rank_zero_only

from lipfault.callbacks.last_checkpoint import LastCheckpoint
from lipfault.callbacks.run_recorder import RunRecorder
from lipfault.data.datamodule import RecordingDataModule
from lipfault.errors import LipfaultError
from lipfault.tasks.base import BaseTask
from lipfault.tasks.checkpoints import (
    WholeFileIO,
    find_checkpoint,
    read_checkpoint,
    remove_leftovers,
    resumable_checkpoint,
)

CONFIG_NAME = 'lipfault_config.yaml'
"""Name of the complete configuration in a run's folder."""

ExtraLogger = Literal['tensorboard', 'wandb']


class LipfaultCLI(LightningCLI):
    """Fit, validate, test and predict, each in the folder of its run."""

    run_folder: Path

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Add what belongs to a run, and tell the model about the data."""
        parser.add_argument(
            '--run', type=str | None, default=None, help='Folder of the run, new for every fit.'
        )
        parser.add_argument(
            '--save_every',
            type=int,
            default=200,
            help='Optimizer steps between two saves of last.ckpt, beside one after each epoch.',
        )
        parser.add_argument(
            '--loggers',
            type=list[ExtraLogger],
            default=[],
            help='Loggers beside metrics.csv: tensorboard, wandb (offline without a key).',
        )
        parser.link_arguments(
            'data.description', 'model.init_args.description', apply_on='instantiate'
        )

    def _parse_ckpt_path(self) -> None:
        """Checkpoints of lipfault hold no arguments; their content is checked when loaded."""

    def before_instantiate_classes(self) -> None:
        """Settle checkpoint and folder of the run before anything is built."""
        name = str(self.subcommand)
        config = self.config[name]
        if name == 'fit':
            self._settle_fit(config)
        else:
            self._settle_evaluation(config, name)
        config.trainer.default_root_dir = str(self.run_folder)
        config.trainer.callbacks = config.trainer.callbacks or []

    def instantiate_trainer(self, **kwargs: Any) -> Any:  # noqa: ANN401
        """Give the trainer the callbacks and loggers of the run."""
        config = self.config[str(self.subcommand)]
        fit = self.subcommand == 'fit'
        extra: list[Callback] = [RunRecorder(self.run_folder, config.seed_everything)]
        callbacks = extra + (checkpointing(self.run_folder, config.save_every) if fit else [])
        trainer_config = self._get(self.config_init, 'trainer', default={})
        trainer_config['callbacks'] = [*(trainer_config.get('callbacks') or []), *callbacks]
        trainer_config['plugins'] = [*_as_list(trainer_config.get('plugins')), WholeFileIO()]
        trainer_config['logger'] = run_loggers(self.run_folder, config.loggers) if fit else False
        if not fit:  # an evaluation must not replace the configuration of the run
            self.save_config_callback = None
        return self._instantiate_trainer(trainer_config, [])

    def _settle_fit(self, config: Any) -> None:  # noqa: ANN401
        stage = config.model.class_path.rsplit('.', 1)[-1].removesuffix('Task').lower()
        self.run_folder = Path(config.run or _new_folder(stage))
        if config.ckpt_path is None:
            if first_process() and self.run_folder.exists() and any(self.run_folder.iterdir()):
                raise LipfaultError(
                    f'run folder {self.run_folder} is not empty: choose another --run, or resume '
                    f'it with --ckpt_path last'
                )
        else:
            config.ckpt_path = self._settle_resume(config.ckpt_path)
            if first_process():
                remove_leftovers(self.run_folder)
                keep_metrics(self.run_folder)

    def _settle_resume(self, wanted: str) -> str | None:
        """The file to go on from; None if the run was interrupted before its first save."""
        if wanted == 'last':
            file = resumable_checkpoint(self.run_folder)
            return None if file is None else str(file)
        file = find_checkpoint(
            *((self.run_folder, wanted) if wanted == 'best' else (wanted, 'last'))
        )
        read_checkpoint(file)
        return str(file)

    def _settle_evaluation(self, config: Any, name: str) -> None:  # noqa: ANN401
        if config.ckpt_path is None:
            raise LipfaultError(
                f'{name} needs trained weights: give --ckpt_path a run folder or a checkpoint file'
            )
        if config.ckpt_path in ('last', 'best') and config.run:
            file = find_checkpoint(config.run, config.ckpt_path)
        else:
            file = find_checkpoint(config.ckpt_path)
        read_checkpoint(file)
        config.ckpt_path = str(file)
        owner = file.parent.parent if file.parent.name == 'checkpoints' else file.parent
        self.run_folder = Path(config.run) if config.run else owner
        self.run_folder.mkdir(parents=True, exist_ok=True)
        if 'pretrained' in config.model.init_args:
            config.model.init_args.pretrained = str(file)


def first_process() -> bool:
    """Whether this is the process of rank 0, or the only one."""
    rank: int = getattr(rank_zero_only, 'rank', 0)
    return rank == 0


def _new_folder(stage: str) -> str:
    """A folder named after stage and time, the same in the processes that this one starts."""
    if first_process():
        os.environ['LIPFAULT_RUN'] = f'runs/{stage}-{time.strftime("%Y%m%d-%H%M%S")}'
    elif 'LIPFAULT_RUN' not in os.environ:
        raise LipfaultError('several processes need a common folder: name it with --run')
    return os.environ['LIPFAULT_RUN']


def checkpointing(run: Path, every: int) -> list[Callback]:
    """Keep `best.ckpt` by `val/loss`, then `last.ckpt`, which also holds which was best."""
    folder = run / 'checkpoints'
    best = ModelCheckpoint(
        dirpath=folder, filename='best', monitor='val/loss', enable_version_counter=False
    )
    return [best, LastCheckpoint(folder, every)]


def run_loggers(run: Path, extra: list[ExtraLogger]) -> list[Logger]:
    """`metrics.csv` always, TensorBoard and W&B where asked for."""
    loggers: list[Logger] = [CSVLogger(run, name='', version='')]
    if 'tensorboard' in extra:
        loggers.append(TensorBoardLogger(run, name='tensorboard', version=''))
    if 'wandb' in extra:
        offline = not os.environ.get('WANDB_API_KEY')
        loggers.append(
            WandbLogger(name=run.name, save_dir=run, project='lipfault', offline=offline)
        )
    return loggers


def _as_list(given: Any) -> list[Any]:  # noqa: ANN401
    """None, one or several as a list."""
    if given is None:
        return []
    return list(given) if isinstance(given, list | tuple) else [given]


def keep_metrics(run: Path) -> None:
    """Put the metrics of the interrupted part aside; the CSV logger starts a new file."""
    metrics = run / 'metrics.csv'
    if metrics.exists():
        parts = len(list(run.glob('metrics.part*.csv')))
        metrics.rename(run / f'metrics.part{parts + 1}.csv')


def restore_metrics(run: Path) -> None:
    """Put the metrics back if the resumed part had nothing left to log."""
    parts = sorted(run.glob('metrics.part*.csv'), key=lambda part: part.stat().st_mtime)
    if parts and not (run / 'metrics.csv').exists():
        parts[-1].rename(run / 'metrics.csv')


def build(args: list[str]) -> LipfaultCLI:
    """Parse the arguments and run the subcommand."""
    cli = command_line(args, LipfaultCLI)
    if cli.trainer.is_global_zero:
        restore_metrics(cli.run_folder)
    return cli


class _Settings(LipfaultCLI):
    """Parses the arguments, and leaves it at that."""

    def _set_seed(self) -> None:
        """Leave the random state alone."""

    def _add_instantiators(self) -> None:
        """Need no means to build anything."""

    def before_instantiate_classes(self) -> None:
        """Settle nothing."""

    def instantiate_classes(self) -> None:
        """Build nothing."""

    def _run_subcommand(self, subcommand: str) -> None:
        """Run nothing."""


def settings(args: list[str]) -> dict[str, Any]:
    """The complete configuration that a command would run with, defaults included, plain types.

    Args:
        args: As of `build`, such as `['fit', '--config', 'configs/pretrain.yaml']`.
    """
    with warnings.catch_warnings():
        # Of arguments beside those on this process' command line, and of `skip_none`, which newer
        # versions of jsonargparse call otherwise.
        warnings.simplefilter('ignore')
        cli = command_line(args, _Settings)
        parsed: dict[str, Any] = yaml.safe_load(cli.parser.dump(cli.config, skip_none=False))
    found: dict[str, Any] = parsed[str(cli.subcommand)]
    return found


def command_line(args: list[str], kind: type[LipfaultCLI]) -> LipfaultCLI:
    """The command line, after it has done what its kind does with the arguments."""
    return kind(
        BaseTask,
        RecordingDataModule,
        subclass_mode_model=True,
        seed_everything_default=0,
        auto_configure_optimizers=False,
        save_config_kwargs={'config_filename': CONFIG_NAME, 'overwrite': True},
        parser_kwargs={'parser_mode': 'yaml', 'description': 'Fault-tolerant multimodal learning.'},
        args=args,
    )
