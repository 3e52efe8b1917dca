"""Options of a run beside those of model, data and trainer."""

from typing import Any, Literal

from lipfault.domains import Count

ExtraLogger = Literal['tensorboard', 'wandb']

RUN_OPTIONS: dict[str, dict[str, Any]] = {
    'run': {
        'type': str | None,
        'default': None,
        'help': 'Folder of the run, new for every fit; for results of an evaluation elsewhere.',
    },
    'save_every': {
        'type': Count,
        'default': 200,
        'help': 'Optimizer steps between two saves of last.ckpt, beside one after each epoch.',
    },
    'report': {
        'type': bool,
        'default': True,
        'help': 'Whether to draw report.html after fit and test; `lipfault report` does it later.',
    },
    'loggers': {
        'type': list[ExtraLogger],
        'default': [],
        'help': 'Loggers beside metrics.csv: tensorboard, wandb (offline without a key).',
    },
    'trust_run_code': {
        'type': bool,
        'default': False,
        'help': 'Import classes outside lipfault, torch and lightning that an evaluated run names.',
    },
    'group': {
        'type': str | None,
        'default': None,
        'help': 'Group of the run in W&B; that of its stage 1, or the name of the folder above.',
    },
}
"""Arguments of `add_argument` by name of the option, in the order of the configuration."""
