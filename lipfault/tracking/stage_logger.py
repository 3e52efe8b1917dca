"""One W&B run for each stage, with a step axis of its own."""

import netrc
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import wandb
from lightning.fabric.loggers.logger import rank_zero_experiment
from lightning.pytorch.loggers import WandbLogger
from lightning.pytorch.utilities import rank_zero_info, rank_zero_only
from PIL import Image

from lipfault.tracking.names import PICTURES, PROJECT, REFERENCES, SAMPLE_COLUMNS, TABLE

FINISH_S = 120.0
"""Seconds that a finished run waits for its upload; what is left stays in the run folder."""


class StageLogger(WandbLogger):
    """Logs a stage to a W&B run of its own.

    Steps are counted under `<stage>/step`, the axis of everything else. Rows are never sent with
    W&B's own step number, which must not go back and drops what does. The configuration is given
    once, nested as in the file, when the run starts. Without a key, or if the server cannot be
    reached then, the run is written to the run folder only; `wandb sync` sends it later. A server
    that is lost in the middle of a run never stops it: `wandb sync --no-skip-online` sends the
    rest.

    Args:
        run: The run's folder.
        stage: `pretrain`, `finetune` or `test`, the run's job type.
        group: Name under which the runs of an experiment stand together.
        config: The complete configuration in plain types.
    """

    def __init__(self, run: Path, stage: str, group: str, config: Mapping[str, Any]) -> None:
        """Nothing is started yet; the first use of `experiment` does."""
        self.axis = f'{stage}/step'
        project = os.environ.get('WANDB_PROJECT', PROJECT)
        super().__init__(name='/'.join(run.parts[-2:]), save_dir=run, project=project)
        del self._wandb_init['anonymous']  # without effect, warned about
        self._wandb_init |= {
            'group': group,
            'job_type': stage,
            'config': dict(config),
            'settings': wandb.Settings(finish_timeout=_seconds('WANDB_FINISH_TIMEOUT', FINISH_S)),
        }

    @property
    @rank_zero_experiment
    def experiment(self) -> Any:  # noqa: ANN401
        """The W&B run, of process 0."""
        if self._experiment is None:
            Path(self._wandb_init['dir']).mkdir(parents=True, exist_ok=True)
            self._experiment = self._start()
            self._experiment.define_metric(self.axis)
            self._experiment.define_metric('*', step_metric=self.axis, step_sync=True)
        return self._experiment

    @rank_zero_only
    def log_hyperparams(self, *_: object, **__: object) -> None:
        """Nothing: the run has its configuration from the start."""

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, Any], step: int | None = None) -> None:
        """Log a row, with the figures of the paper where they belong."""
        row = dict(metrics) | dict(REFERENCES[key] for key in metrics if key in REFERENCES)
        if step is not None:
            row[self.axis] = step
        self.experiment.log(row)

    @rank_zero_only
    def log_samples(self, pictures: Mapping[str, Path], rows: list[list[Any]], step: int) -> None:
        """Log pictures of samples and a table of them.

        Args:
            pictures: PNG files by name of the modality.
            rows: Rows of the table, in the order of `SAMPLE_COLUMNS`.
            step: Optimizer step.
        """
        same = zip(pictures, _same_size(list(pictures.values())), strict=True)
        images = [wandb.Image(picture, caption=name) for name, picture in same]
        table = wandb.Table(columns=list(SAMPLE_COLUMNS), data=rows)
        self.log_metrics({PICTURES: images, TABLE: table}, step)

    @rank_zero_only
    def finalize(self, status: str) -> None:
        """Finish the W&B run; a run of the command line has only one."""
        if self._experiment is not None:
            self._experiment.finish(exit_code=0 if status == 'success' else 1)

    def _start(self) -> Any:  # noqa: ANN401
        mode = os.environ.get('WANDB_MODE') or ('online' if _has_key() else 'offline')
        try:
            return wandb.init(mode=mode, **self._wandb_init)  # type: ignore[arg-type]
        except wandb.errors.Error as error:
            if mode == 'offline':
                raise
            reason = str(error).splitlines()[0]
            rank_zero_info(f'W&B cannot be used now, logging offline for `wandb sync`: {reason}')
            return wandb.init(mode='offline', **self._wandb_init)


def _same_size(files: list[Path]) -> list[Image.Image]:
    """Pictures on white grounds of one size, as W&B wants those of one name."""
    pictures = [Image.open(file).convert('RGB') for file in files]
    size = tuple(max(lengths) for lengths in zip(*(p.size for p in pictures), strict=True))
    grounds = [Image.new('RGB', (size[0], size[1]), 'white') for _ in pictures]
    for ground, picture in zip(grounds, pictures, strict=True):
        ground.paste(picture)
    return grounds


def _has_key() -> bool:
    """Whether there is a key for the server, in the environment or from `wandb login`."""
    if os.environ.get('WANDB_API_KEY'):
        return True
    host = urlsplit(os.environ.get('WANDB_BASE_URL', 'https://api.wandb.ai')).hostname
    try:
        return host is not None and netrc.netrc().authenticators(host) is not None
    except (OSError, netrc.NetrcParseError):
        return False


def _seconds(variable: str, default: float) -> float:
    """A number of seconds from the environment; the default where it is none."""
    try:
        return float(os.environ.get(variable, default))
    except ValueError:
        return default
