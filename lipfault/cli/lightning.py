"""Run a stage: LightningCLI with one folder for each run."""

import sys
import warnings
from pathlib import Path
from typing import Any

import yaml
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI
from lightning.pytorch.loggers import Logger
from lightning.pytorch.utilities import rank_zero_info
from rich.console import Console

from lipfault.callbacks.evaluation_stop import EvaluationStop
from lipfault.callbacks.last_checkpoint import TERMINATED
from lipfault.callbacks.progress import ProgressLines, SetupMessages
from lipfault.callbacks.run_recorder import RunRecorder
from lipfault.callbacks.sample_log import SampleLog
from lipfault.cli.arguments import EVALUATIONS, with_config_files
from lipfault.cli.derived import (
    check_fit,
    keep_derived,
    lengths_of_stage_one,
    settings_of_run,
)
from lipfault.cli.quiet import ignore_messages, outlive_output
from lipfault.cli.run_config import with_reduced_configs
from lipfault.cli.run_folders import (
    compare,
    evaluated,
    require_own,
    resumed,
    resumed_autoencoder,
)
from lipfault.cli.run_options import RUN_OPTIONS
from lipfault.cli.run_parts import (
    SavedConfig,
    as_list,
    checkpointing,
    discard_start,
    end_processes,
    ended_by_signal,
    local_loggers,
    needs_lines,
    print_metrics,
    stage_of,
    wandb_logger,
)
from lipfault.cli.trainer_settings import check_trainer, trainer_errors
from lipfault.data.datamodule import RecordingDataModule
from lipfault.runs.checkpoints import WholeFileIO, read_checkpoint, remove_leftovers
from lipfault.runs.folder import (
    RunFolder,
    keep_metrics,
    require_writable,
    restore_metrics,
)
from lipfault.runs.group import group_of
from lipfault.runs.launch import first_process, new_folder
from lipfault.runs.lock import RunLock, release_locks
from lipfault.runs.reading import escaped
from lipfault.tasks.base import BaseTask


class LipfaultCLI(LightningCLI):
    """Fit, validate, test and predict, each in a run folder."""

    run_folder: Path
    model: BaseTask
    kept_part: Path | None = None  # metrics of the interrupted part, renamed
    lock: RunLock | None = None  # of the run folder, in the process that writes it
    _resumes = False  # whether a fit goes on from a checkpoint
    _autoencoder: str | None = None  # checkpoint that a resumed stage 2 is built from

    def init_parser(self, **kwargs: Any) -> LightningArgumentParser:  # noqa: ANN401
        """Make a parser that raises its errors, for `main` to word them in one line.

        Args:
            kwargs: Arguments of the parser.

        Returns:
            A parser with the option `--config`.
        """
        return super().init_parser(**{'exit_on_error': False, 'prog': 'lipfault'} | kwargs)

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Add the options of a run, and pass the description of the data to the model.

        Args:
            parser: Parser of a subcommand.
        """
        for name, settings in RUN_OPTIONS.items():
            parser.add_argument(f'--{name}', **settings)
        parser.link_arguments(
            'data.description', 'model.init_args.description', apply_on='instantiate'
        )

    def _parse_ckpt_path(self) -> None:
        """Read no arguments: checkpoints of lipfault hold none and are checked when loaded."""

    def before_instantiate_classes(self) -> None:
        """Choose checkpoint and folder of the run before anything is built."""
        name = str(self.subcommand)
        config = self.config[name]
        check_trainer(config.trainer, str(config.model.class_path))
        if name == 'fit':
            self._prepare_fit(config)
        else:
            self._prepare_evaluation(config, name)
        config.group = config.group or group_of(
            self.run_folder, config.model.init_args.get('pretrained')
        )
        # Profiler and loggers without a folder of their own write there.
        config.trainer.default_root_dir = str(self.run_folder)
        config.trainer.callbacks = as_list(config.trainer.callbacks)

    def instantiate_classes(self) -> None:
        """Build data, model and trainer; the model needs the description of the recording."""
        config = self.config[str(self.subcommand)]
        paths = config.data.path
        rank_zero_info(f'reading {paths if isinstance(paths, str) else ", ".join(paths)}')
        settings = config.model.init_args
        configured = settings.get('pretrained')
        # The saved configuration keeps the stage 1 that the run has started from.
        if self._autoencoder is not None:
            settings.pretrained = self._autoencoder
        super().instantiate_classes()
        if self._autoencoder is not None:
            settings.pretrained = configured

    def before_fit(self) -> None:
        """Refuse settings that contradict each other, then rename what an earlier part has left."""
        config = self.config[str(self.subcommand)]
        check_fit(self.model, self.datamodule, self.trainer)
        if config.ckpt_path is not None:
            self.model.check_resume(read_checkpoint(Path(config.ckpt_path)))
        if not self.trainer.is_global_zero:
            return
        # The process that writes, whatever number the environment gives it.
        self.lock = self.lock or RunLock(self.run_folder)
        require_own(self.run_folder, config.ckpt_path, self._resumes)
        self.lock.sign()
        # Only now: a run that is refused above keeps its files as they were.
        if self._resumes:
            remove_leftovers(self.run_folder)
            self.kept_part = keep_metrics(self.run_folder)

    def instantiate_trainer(self, **kwargs: Any) -> Any:  # noqa: ANN401
        """Build the trainer with the callbacks and loggers of the run.

        Args:
            kwargs: Ignored; part of LightningCLI's interface.

        Returns:
            The trainer.
        """
        config = self.config[str(self.subcommand)]
        fit = self.subcommand == 'fit'
        trainer_config = self._get(self.config_init, 'trainer', default={})
        callbacks = [
            *as_list(trainer_config.get('callbacks')),
            RunRecorder(self.run_folder, config.seed_everything, config.data.path),
            SampleLog(self.run_folder),
            SetupMessages(),
        ]
        saving = checkpointing(self.run_folder, config.save_every) if fit else [EvaluationStop()]
        callbacks += saving
        if fit:
            keep_derived(config, trainer_config, self.datamodule)
        if trainer_config.get('enable_progress_bar') is not False and needs_lines(callbacks):
            callbacks.append(ProgressLines())
        trainer_config['callbacks'] = callbacks
        trainer_config['plugins'] = [*as_list(trainer_config.get('plugins')), WholeFileIO()]
        trainer_config['logger'] = self._loggers(config)
        if not fit:  # an evaluation must not replace the configuration of the run
            self.save_config_callback = None
        with trainer_errors():
            return self._instantiate_trainer(trainer_config, [])

    def _run_subcommand(self, subcommand: str) -> None:
        """Run it; if it fails, leave neither waiting processes nor files of a failed start."""
        try:
            super()._run_subcommand(subcommand)
        except Exception:
            end_processes(self.trainer)
            # Signed: the folder was found empty, and this process writes it.
            if self.lock and self.lock.signed and not (self._resumes or self.trainer.global_step):
                discard_start(self.run_folder)
            raise
        except SystemExit as end:
            if end.code == TERMINATED and self.trainer.is_global_zero:
                sys.stderr.write(f'lipfault: {ended_by_signal(subcommand)}\n')
            if subcommand != 'fit':  # a fit ends in all processes after a common save
                end_processes(self.trainer)
            raise

    def _prepare_subcommand_kwargs(self, subcommand: str) -> dict[str, Any]:
        """Switch off Lightning's tables, one for each loader; `after_test` prints one for all."""
        kwargs = super()._prepare_subcommand_kwargs(subcommand)
        return kwargs | ({'verbose': False} if 'verbose' in kwargs else {})

    def after_test(self) -> None:
        """Print the metrics unless `verbose` is false."""
        if self.trainer.is_global_zero and self.config[str(self.subcommand)].verbose:
            print_metrics(str(self.subcommand), self.trainer.callback_metrics)

    after_validate = after_test

    def _loggers(self, config: Any) -> list[Logger] | bool:  # noqa: ANN401
        """Return the loggers of a fit, or of a test W&B only, as a run of its own."""
        name, run, extra = str(self.subcommand), self.run_folder, config.loggers
        loggers = local_loggers(run, extra) if name == 'fit' else []
        if 'wandb' in extra and name in ('fit', 'test'):
            stage = stage_of(config) if name == 'fit' else name
            loggers.append(wandb_logger(run, stage, config.group, self._plain(config)))
        return loggers or False

    def _plain(self, config: Any) -> dict[str, Any]:  # noqa: ANN401
        """Return the configuration of the subcommand in plain types."""
        parser = self._parser(str(self.subcommand))
        return dict(yaml.safe_load(parser.dump(config, skip_none=False)))

    def _prepare_fit(self, config: Any) -> None:  # noqa: ANN401
        """Choose the run folder and the checkpoint to go on from."""
        self.run_folder = Path(config.run or new_folder(stage_of(config)))
        if first_process():
            require_writable(self.run_folder)
        self._resumes = config.ckpt_path is not None
        if self._resumes:
            config.ckpt_path = resumed(self.run_folder, config.ckpt_path)
            settings_of_run(config, RunFolder.of(config.ckpt_path or self.run_folder).path)
        # After those of the run itself, whose stage 1 may be gone.
        for key, length in lengths_of_stage_one(config).items():
            config.data[key] = length
        if first_process():
            require_own(self.run_folder, config.ckpt_path, self._resumes)
            # Before anything costs time; a folder that does not exist is made by `before_fit`.
            self.lock = RunLock(self.run_folder) if self.run_folder.exists() else None
        if config.ckpt_path is not None:
            self._compare(config)

    def _compare(self, config: Any) -> None:  # noqa: ANN401
        """Refuse or log what differs from the part of the run that is resumed."""
        settings = config.model.init_args
        if 'pretrained' in settings:
            self._autoencoder = config.ckpt_path
            settings.pretrained = resumed_autoencoder(config.ckpt_path, settings.pretrained)
        compare(config.ckpt_path, self._plain(config), config.data.path)

    def _prepare_evaluation(self, config: Any, name: str) -> None:  # noqa: ANN401
        """Choose the checkpoint to evaluate and the folder for what is measured."""
        file, self.run_folder = evaluated(config.ckpt_path, config.run, name)
        config.ckpt_path, config.run = str(file), str(self.run_folder)
        self.run_folder.mkdir(parents=True, exist_ok=True)
        # The checkpoint of stage 2 holds the autoencoder too: that of stage 1 may be gone.
        if 'pretrained' in config.model.init_args:
            config.model.init_args.pretrained = str(file)
        # Its weights are those of the checkpoint: the run from which it started may be gone, too.
        if config.model.init_args.get('warm_start') is not None:
            config.model.init_args.warm_start = None


def run(args: list[str]) -> None:
    """Run a stage, print its folder, and draw its report.

    Args:
        args: A subcommand of Lightning and its options.
    """
    ignore_messages()
    outlive_output()
    cli = build(args)
    if cli.subcommand not in ('fit', 'test') or not cli.trainer.is_global_zero:
        return
    drawn = _report(cli.run_folder) if cli.config[cli.subcommand].report else 'no report drawn'
    text = escaped(f'run folder {cli.run_folder}, {drawn}')
    Console().print(text, highlight=False, markup=False, soft_wrap=True)


def _report(run: Path) -> str:
    """Draw the report of a run, unless a few steps have logged nothing to draw."""
    # Needs matplotlib and jinja2, which a run without a report need not import.
    from lipfault.report.html import write_report

    folder = RunFolder(run)
    if not folder.metrics.exists() and not folder.history.exists():
        return 'no report: nothing was logged (trainer.log_every_n_steps)'
    return f'report {write_report(run)}'


def build(args: list[str]) -> LipfaultCLI:
    """Parse the arguments and run the subcommand.

    Args:
        args: A subcommand of Lightning and its options.

    Returns:
        The command line with the trainer, after the run.
    """
    cli = command_line(args, LipfaultCLI)
    restore_metrics(cli.run_folder, cli.kept_part)
    if cli.lock is not None:
        cli.lock.release()
    return cli


class _Settings(LipfaultCLI):
    """Parse the arguments of a fit without running it."""

    @staticmethod
    def subcommands() -> dict[str, set[str]]:
        """Return the one subcommand that is parsed."""
        return {'fit': LipfaultCLI.subcommands()['fit']}

    def _set_seed(self) -> None:
        """Leave the random state alone."""

    def _add_instantiators(self) -> None:
        """Add none: nothing is built."""

    def before_instantiate_classes(self) -> None:
        """Choose no folder."""

    def instantiate_classes(self) -> None:
        """Build nothing."""

    def _run_subcommand(self, subcommand: str) -> None:
        """Run nothing."""


def settings(args: list[str]) -> dict[str, Any]:
    """Return the complete configuration of a fit.

    Args:
        args: `fit` and its options, such as `['fit', '--config', 'pretrain']`.

    Returns:
        Nested settings in plain types, defaults included.

    Raises:
        LipfaultError: If a configuration does not exist.
    """
    with warnings.catch_warnings():
        # About arguments beside those on the command line of this process, and about `skip_none`,
        # which newer versions of jsonargparse call otherwise.
        warnings.simplefilter('ignore')
        cli = command_line(args, _Settings)
        parsed: dict[str, Any] = yaml.safe_load(cli.parser.dump(cli.config, skip_none=False))
    found: dict[str, Any] = parsed[str(cli.subcommand)]
    return found


def command_line(args: list[str], kind: type[LipfaultCLI]) -> LipfaultCLI:
    """Make a command line, which parses and runs its arguments when it is made.

    Args:
        args: A subcommand of Lightning and its options; `--config` also by name.
        kind: Class of the command line.

    Returns:
        The command line.

    Raises:
        LipfaultError: If a configuration does not exist.
    """
    args = with_config_files(args)
    if args and args[0] in EVALUATIONS:
        args = with_reduced_configs(args)
    try:
        return kind(
            BaseTask,
            RecordingDataModule,
            subclass_mode_model=True,
            seed_everything_default=0,
            auto_configure_optimizers=False,
            save_config_callback=SavedConfig,
            save_config_kwargs={'save_to_log_dir': False},
            parser_kwargs={'parser_mode': 'yaml'},
            args=args,
        )
    except BaseException:
        release_locks()
        raise
