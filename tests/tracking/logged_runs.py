"""Commands that log to W&B, their tiny configurations and what they leave."""

import os
from dataclasses import dataclass
from pathlib import Path

from forked import command
from run_file import RunFile
from tiny_models import FINETUNE, PRETRAIN

ROOT = Path(__file__).parents[2]
DATA = """
report: false
data:
  path: {path}
  batch_size: 16
  stride_s: 0.05
  history_s: 0.3
  splits: {{pretrain: 0.34, finetune: 0.34, calibration: 0.16, test: 0.16}}
trainer:
  max_epochs: 2
  limit_train_batches: 3
  limit_val_batches: 3
  limit_test_batches: 3
  check_val_every_n_epoch: 1
  log_every_n_steps: 2
  precision: 32-true
  accelerator: cpu
  enable_progress_bar: false
"""
MODELS = {'pretrain': PRETRAIN, 'finetune': FINETUNE}


def environment(**changes: str) -> dict[str, str]:
    """The environment without anything of W&B, and with some changes."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith('WANDB_')}
    return kept | {'PYTHONPATH': str(ROOT), 'HOME': '/nonexistent'} | changes


def run(*args: object, code: int = 0, **changes: str) -> str:
    """Run a command of lipfault in a process of its own; return what it prints."""
    status, printed = command(args, environment(**changes), ROOT)
    assert status == code, printed[-4000:]
    assert 'Traceback' not in printed
    return printed


@dataclass
class Logged:
    """Run folders of an experiment, its W&B runs by job type, and what the commands printed."""

    root: Path
    files: dict[str, RunFile]
    printed: str
