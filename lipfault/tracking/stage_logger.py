"""W&B logger with one run per stage, each with its own step axis."""

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
"""Seconds that a finished run waits for its upload; the rest stays in the run folder."""


class StageLogger(WandbLogger):
    """Log a stage to its own W&B run.

    The step is logged as the metric `<stage>/step`, the axis of all other metrics. W&B's own step
    number is never set, since W&B drops rows whose step decreases. The configuration is logged
    once at the start, nested as in the file. Without a key or a reachable server the run is
    written to the run folder, and `wandb sync` uploads it later. A server lost during the run does
    not stop it: `wandb sync --no-skip-online` uploads the rest.

    Args:
        run: Folder of the run.
        stage: `pretrain`, `finetune` or `test`, the job type of the W&B run.
        group: W&B group, the same for all runs of an experiment.
        config: Complete configuration in plain types.

    Reference:
        https://docs.wandb.ai/guides/track/log/customize-logging-axes/
    """

    def __init__(self, run: Path, stage: str, group: str, config: Mapping[str, Any]) -> None:
        """Keep the settings; the first use of `experiment` starts the W&B run."""
        self.axis = f'{stage}/step'
        project = os.environ.get('WANDB_PROJECT', PROJECT)
        super().__init__(name='/'.join(run.parts[-2:]), save_dir=run, project=project)
        # Lightning sets it, wandb ignores it and warns.
        del self._wandb_init['anonymous']
        self._wandb_init |= {
            'group': group,
            'job_type': stage,
            'config': dict(config),
            'settings': wandb.Settings(finish_timeout=_seconds('WANDB_FINISH_TIMEOUT', FINISH_S)),
        }

    @property
    @rank_zero_experiment
    def experiment(self) -> Any:  # noqa: ANN401
        """Return the W&B run in process 0, and a dummy in all others."""
        if self._experiment is None:
            Path(self._wandb_init['dir']).mkdir(parents=True, exist_ok=True)
            self._experiment = self._start()
            self._experiment.define_metric(self.axis)
            # step_sync adds the last step to rows that are logged without one.
            self._experiment.define_metric('*', step_metric=self.axis, step_sync=True)
        return self._experiment

    @rank_zero_only
    def log_hyperparams(self, *_: object, **__: object) -> None:
        """Do nothing: the run has its configuration from the start."""

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, Any], step: int | None = None) -> None:
        """Log a row of metrics; a norm comes with the norm of the paper.

        Args:
            metrics: Values by name.
            step: Optimizer step.
        """
        row = dict(metrics) | dict(REFERENCES[key] for key in metrics if key in REFERENCES)
        if step is not None:
            row[self.axis] = step
        self.experiment.log(row)

    @rank_zero_only
    def log_samples(self, pictures: Mapping[str, Path], rows: list[list[Any]], step: int) -> None:
        """Log images and a table of samples.

        Args:
            pictures: PNG files by modality.
            rows: Rows of the table, in the order of `SAMPLE_COLUMNS`.
            step: Optimizer step.
        """
        padded = zip(pictures, _same_size(list(pictures.values())), strict=True)
        images = [wandb.Image(picture, caption=name) for name, picture in padded]
        table = wandb.Table(columns=list(SAMPLE_COLUMNS), data=rows)
        self.log_metrics({PICTURES: images, TABLE: table}, step)

    @rank_zero_only
    def finalize(self, status: str) -> None:
        """Finish the W&B run.

        Args:
            status: `success` if the stage has ended without an error.
        """
        if self._experiment is not None:
            self._experiment.finish(exit_code=0 if status == 'success' else 1)

    def _start(self) -> Any:  # noqa: ANN401
        """Start the W&B run, offline if there is no key or the server does not answer."""
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
    """Pad pictures to one size with white: W&B requires one size for the images of a name."""
    pictures = [Image.open(file).convert('RGB') for file in files]
    size = tuple(max(lengths) for lengths in zip(*(p.size for p in pictures), strict=True))
    padded = [Image.new('RGB', (size[0], size[1]), 'white') for _ in pictures]
    for canvas, picture in zip(padded, pictures, strict=True):
        canvas.paste(picture)
    return padded


def _has_key() -> bool:
    """Return whether the environment or `wandb login` (a netrc file) holds a key."""
    if os.environ.get('WANDB_API_KEY'):
        return True
    host = urlsplit(os.environ.get('WANDB_BASE_URL', 'https://api.wandb.ai')).hostname
    try:
        return host is not None and netrc.netrc().authenticators(host) is not None
    except (OSError, netrc.NetrcParseError):
        return False


def _seconds(variable: str, default: float) -> float:
    """Return a number of seconds from the environment, else the default."""
    try:
        return float(os.environ.get(variable, default))
    except ValueError:
        return default
