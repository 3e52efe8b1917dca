"""The command line of both stages: LightningCLI, with one folder for each run."""

import signal
import warnings
from pathlib import Path
from typing import Any, Literal

import yaml
from lightning.pytorch.callbacks import Callback, ModelCheckpoint
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI
from lightning.pytorch.loggers import CSVLogger, Logger, TensorBoardLogger
from lightning.pytorch.utilities import rank_zero_info

from lipfault.callbacks.last_checkpoint import LastCheckpoint
from lipfault.callbacks.run_recorder import RunRecorder
from lipfault.callbacks.sample_log import SampleLog
from lipfault.data.datamodule import RecordingDataModule
from lipfault.errors import LipfaultError
from lipfault.runs.checkpoints import (
    CONFIG_NAME,
    WholeFileIO,
    find_checkpoint,
    read_checkpoint,
    remove_leftovers,
    resumable_checkpoint,
)
from lipfault.runs.folder import (
    changes_since,
    first_process,
    keep_metrics,
    new_folder,
    owner_of,
    require_writable,
    restore_metrics,
)
from lipfault.runs.group import group_of
from lipfault.tasks.base import BaseTask
from lipfault.tracking.stage_logger import StageLogger

DESCRIPTION = """\
Fault-tolerant multimodal learning. Beside the subcommands below, each with --help of its own:
certify (test, and bounds of the sensitivity to faults), report (draw the page of a run again), data
(simulate, inspect and check recordings), faults (catalogue and pictures of the faults), sweep
(trainings over a grid of settings), dashboard (W&B)."""

ExtraLogger = Literal['tensorboard', 'wandb']


class LipfaultCLI(LightningCLI):
    """Fit, validate, test and predict, each in the folder of its run."""

    run_folder: Path
    model: BaseTask
    _resumes = False

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
            '--report',
            type=bool,
            default=True,
            help='Whether to draw report.html after fit and test; `lipfault report` does it later.',
        )
        parser.add_argument(
            '--loggers',
            type=list[ExtraLogger],
            default=[],
            help='Loggers beside metrics.csv: tensorboard, wandb (offline without a key).',
        )
        parser.add_argument(
            '--group',
            type=str | None,
            default=None,
            help='Group of the run in W&B; that of its stage 1, or the name of the folder above.',
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
        config.group = config.group or group_of(
            self.run_folder, config.model.init_args.get('pretrained'), CONFIG_NAME
        )
        config.trainer.default_root_dir = str(self.run_folder)
        config.trainer.callbacks = _as_list(config.trainer.callbacks)

    def before_fit(self) -> None:
        """Refuse what does not fit together, then put aside what an earlier part has left."""
        config = self.config[str(self.subcommand)]
        self.model.check_settings()
        if config.ckpt_path is not None:
            self.model.check_resume(read_checkpoint(Path(config.ckpt_path)))
        if self._resumes and first_process():
            remove_leftovers(self.run_folder)
            keep_metrics(self.run_folder)

    def instantiate_trainer(self, **kwargs: Any) -> Any:  # noqa: ANN401
        """Give the trainer the callbacks and loggers of the run."""
        config = self.config[str(self.subcommand)]
        fit = self.subcommand == 'fit'
        extra: list[Callback] = [RunRecorder(self.run_folder, config.seed_everything)]
        extra.append(SampleLog(self.run_folder))
        callbacks = extra + (checkpointing(self.run_folder, config.save_every) if fit else [])
        trainer_config = self._get(self.config_init, 'trainer', default={})
        trainer_config['callbacks'] = [*_as_list(trainer_config.get('callbacks')), *callbacks]
        trainer_config['plugins'] = [*_as_list(trainer_config.get('plugins')), WholeFileIO()]
        trainer_config['logger'] = self._loggers(config)
        if not fit:  # an evaluation must not replace the configuration of the run
            self.save_config_callback = None
        return self._instantiate_trainer(trainer_config, [])

    def _run_subcommand(self, subcommand: str) -> None:
        """Run it; if it fails, the processes that this one has started must not wait for it."""
        try:
            super()._run_subcommand(subcommand)
        except Exception:
            launcher: Any = self.trainer.strategy.launcher
            if hasattr(launcher, 'kill'):
                launcher.kill(signal.SIGKILL)
            raise

    def _loggers(self, config: Any) -> list[Logger] | bool:  # noqa: ANN401
        """Those of the run while training; of a test W&B only, in a run of its own."""
        name = str(self.subcommand)
        loggers: list[Logger] = []
        if name == 'fit':
            loggers += local_loggers(self.run_folder, config.loggers)
        if 'wandb' in config.loggers and name in ('fit', 'test'):
            nested = yaml.safe_load(self._parser(name).dump(config, skip_none=False))
            stage = _stage(config) if name == 'fit' else name
            loggers.append(StageLogger(self.run_folder, stage, config.group, nested))
        return loggers or False

    def _settle_fit(self, config: Any) -> None:  # noqa: ANN401
        self.run_folder = Path(config.run or new_folder(_stage(config)))
        if first_process():
            require_writable(self.run_folder)
        self._resumes = config.ckpt_path is not None
        if self._resumes:
            config.ckpt_path = self._settle_resume(config.ckpt_path)
        if first_process():
            self._require_own(config.ckpt_path)
            self._tell_changes(config)

    def _require_own(self, checkpoint: str | None) -> None:
        """Refuse to train in the folder of another run.

        Raises:
            LipfaultError: If the folder holds something, and not the checkpoint to go on from.
        """
        run = self.run_folder
        if not run.exists() or not any(run.iterdir()):
            return
        if not self._resumes:
            raise LipfaultError(
                f'run folder {run} is not empty: choose another --run, or resume '
                f'it with --ckpt_path last'
            )
        if checkpoint is not None and owner_of(Path(checkpoint)).resolve() != run.resolve():
            raise LipfaultError(
                f'run folder {run} is not empty, and {checkpoint} is not of this run: choose '
                f'another --run, or --run {owner_of(Path(checkpoint))} to go on with that one'
            )

    def _tell_changes(self, config: Any) -> None:  # noqa: ANN401
        """Say what is configured otherwise than in the part of the run that is resumed."""
        if config.ckpt_path is None:
            return
        now = yaml.safe_load(self._parser(str(self.subcommand)).dump(config, skip_none=False))
        changed = changes_since(Path(config.ckpt_path), now)
        if changed:
            rank_zero_info(f'going on with another configuration: {"; ".join(changed)}')

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
        self.run_folder = Path(config.run) if config.run else owner_of(file)
        self.run_folder.mkdir(parents=True, exist_ok=True)
        if 'pretrained' in config.model.init_args:
            config.model.init_args.pretrained = str(file)


def checkpointing(run: Path, every: int) -> list[Callback]:
    """Keep `best.ckpt` by `val/loss`, then `last.ckpt`, which also holds which was best."""
    folder = run / 'checkpoints'
    best = ModelCheckpoint(
        dirpath=folder, filename='best', monitor='val/loss', enable_version_counter=False
    )
    return [best, LastCheckpoint(folder, every)]


def local_loggers(run: Path, extra: list[ExtraLogger]) -> list[Logger]:
    """`metrics.csv` always, TensorBoard where asked for."""
    loggers: list[Logger] = [CSVLogger(run, name='', version='')]
    if 'tensorboard' in extra:
        loggers.append(TensorBoardLogger(run, name='tensorboard', version=''))
    return loggers


def _stage(config: Any) -> str:  # noqa: ANN401
    """Name of the stage that a configuration trains."""
    return str(config.model.class_path.rsplit('.', 1)[-1].removesuffix('Task').lower())


def _as_list(given: Any) -> list[Any]:  # noqa: ANN401
    """None, one or several as a list."""
    if given is None:
        return []
    return list(given) if isinstance(given, list | tuple) else [given]


def build(args: list[str]) -> LipfaultCLI:
    """Parse the arguments and run the subcommand."""
    cli = command_line(args, LipfaultCLI)
    if cli.trainer.is_global_zero:
        restore_metrics(cli.run_folder)
    return cli


class _Settings(LipfaultCLI):
    """Parses the arguments of a training, and leaves it at that."""

    @staticmethod
    def subcommands() -> dict[str, set[str]]:
        """No parsers of other commands: they take long."""
        return {'fit': LipfaultCLI.subcommands()['fit']}

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
    """The complete configuration of a training, defaults included, plain types.

    Args:
        args: As of `build`, those of `fit`: `['fit', '--config', 'configs/pretrain.yaml']`.
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
        parser_kwargs={'parser_mode': 'yaml', 'description': DESCRIPTION},
        args=args,
    )
