"""What is known of a run: the configuration it was started with, and how far it came."""

import hashlib
import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import yaml

from lipfault.errors import LipfaultError
from lipfault.runs.folder import CONFIG_NAME

FILE = 'state.json'
PLACES = (
    'group',
    'run',
    'ckpt_path',
    'loggers',
    'save_every',
    'report',
    'config',
    'weights_only',
    'model.init_args.pretrained',
    'trainer.default_root_dir',
)
"""Settings that do not change what is trained."""


@dataclass
class State:
    """Stands in the run's folder beside its metrics.

    Args:
        settings: The complete configuration, flat, without `PLACES`.
        pretrained: Hash of the state of stage 1 that the run stands on; empty for stage 1.
        done: How far the run came: `started`, `fitted` or `tested`.
        cpu_s: CPU seconds by command; of a fit that was interrupted they are not known.
    """

    settings: dict[str, Any]
    pretrained: str = ''
    done: str = 'started'
    cpu_s: dict[str, float] = field(default_factory=dict)

    @property
    def hash(self) -> str:
        """SHA-256 of the configuration, and of that of stage 1."""
        text = json.dumps([self.settings, self.pretrained], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()

    def write(self, folder: Path) -> None:
        """Write all or nothing."""
        folder.mkdir(parents=True, exist_ok=True)
        temporary = folder / f'.{FILE}.tmp'
        fields = {**asdict(self), 'hash': self.hash}
        temporary.write_text(json.dumps(fields, indent=1, sort_keys=True) + '\n')
        temporary.replace(folder / FILE)


def read_state(folder: Path) -> State | None:
    """The state of a run; None if it was never started.

    A tested run of stage 1 that `lipfault` alone has left there is as good as one of the runner.

    Raises:
        LipfaultError: If the folder holds something that is not a run of an experiment.
    """
    file = folder / FILE
    if not file.exists():
        if not folder.exists() or not any(folder.iterdir()):
            return None
        return _adopted(folder)
    try:
        fields = json.loads(file.read_text())
        return State(*(fields[key] for key in ('settings', 'pretrained', 'done', 'cpu_s')))
    except (ValueError, KeyError) as error:
        raise LipfaultError(f'{file} is not readable ({error}): remove the folder') from error


def _adopted(folder: Path) -> State:
    config = folder / CONFIG_NAME
    if config.is_file() and (folder / 'metrics.json').is_file():
        settings = yaml.safe_load(config.read_text())
        if 'pretrained' not in settings['model']['init_args']:
            return State(flat(settings), done='tested')
    raise LipfaultError(
        f'{folder} is not empty, has no {FILE}, and is no tested run of stage 1: '
        'move it out of the way'
    )


def check_unchanged(found: State, wanted: State, folder: Path) -> None:
    """Refuse to go on with, or to use, a run of another configuration.

    Raises:
        LipfaultError: Naming what differs.
    """
    if found.hash == wanted.hash:
        return
    keys = sorted(found.settings.keys() | wanted.settings.keys())
    differ = [
        f'{k}: {found.settings.get(k)!r} then, {wanted.settings.get(k)!r} now'
        for k in keys
        if found.settings.get(k) != wanted.settings.get(k)
    ]
    reason = '; '.join(differ[:5]) if differ else 'its stage 1 has another configuration'
    raise LipfaultError(
        f'{folder} was run with another configuration ({reason}); remove the folder to run it anew'
    )


def flat(settings: dict[str, Any], prefix: str = '') -> dict[str, Any]:
    """Nested settings by dotted key, without `PLACES`; what is empty counts as not given.

    Example:
        >>> flat({'a': {'b': 1}, 'run': 'runs/x'})
        {'a.b': 1}
    """
    found: dict[str, Any] = {}
    for key, value in settings.items():
        if prefix + key in PLACES:
            continue
        if isinstance(value, dict) and value:
            found |= flat(value, f'{prefix}{key}.')
        else:
            found[prefix + key] = None if value in ([], {}) else value
    return found
