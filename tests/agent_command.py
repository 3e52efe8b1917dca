"""The command line that the agent of W&B makes of a sweep file, by W&B's own functions."""

from pathlib import Path

import yaml
from wandb.sdk.launch.sweeps.utils import create_sweep_command, create_sweep_command_args


def as_agent(path: Path, values: dict[str, object]) -> list[str]:
    """The command line that the agent of W&B starts: `wandb.wandb_agent.Agent._command_run`."""
    command = create_sweep_command(yaml.safe_load(path.read_text())['command'])
    variables = create_sweep_command_args({'args': {k: {'value': v} for k, v in values.items()}})
    variables |= {'interpreter': ['python'], 'env': ['/usr/bin/env']}
    words: list[str] = []
    for word in map(str, command):
        macro = word.startswith('${') and word.endswith('}')
        words += variables[word[2:-1]] if macro else [word]
    return words
