"""State of a run: the configuration that it was started with, and its progress."""

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
"""Settings without influence on the trained weights, mostly paths; the hash leaves them out."""


@dataclass
class State:
    """Content of `state.json` in the folder of a run.

    Args:
        settings: Complete configuration by dotted key, without `PLACES`.
        pretrained: Hash of the state of the run's stage 1; empty for stage 1.
        done: Progress: `started`, `fitted` or `tested`.
        cpu_s: CPU seconds by command; an interrupted fit has none.
    """

    settings: dict[str, Any]
    pretrained: str = ''
    done: str = 'started'
    cpu_s: dict[str, float] = field(default_factory=dict)

    @property
    def hash(self) -> str:
        """SHA-256 of the configuration and of the hash of stage 1, 64 hexadecimal digits."""
        # Progress and times stay out: the hash identifies what is trained.
        text = json.dumps([_canonical(self.settings), self.pretrained], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()

    def write(self, folder: Path) -> None:
        """Write the state atomically.

        Args:
            folder: Folder of the run; made if it does not exist.
        """
        folder.mkdir(parents=True, exist_ok=True)
        temporary = folder / f'.{FILE}.tmp'
        fields = {**asdict(self), 'hash': self.hash}  # the hash is for readers of the file
        temporary.write_text(json.dumps(fields, indent=1, sort_keys=True) + '\n')
        temporary.replace(folder / FILE)


def _canonical(value: Any) -> Any:  # noqa: ANN401
    """Replace whole floats by integers, so that equal settings have equal JSON.

    The parser returns a whole number for `int | float` as either type: `typing` caches unions
    without regard to order, so it depends on which module was imported first.
    """
    if isinstance(value, dict):
        return {key: _canonical(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_canonical(each) for each in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def read_state(folder: Path) -> State | None:
    """Return the state of a run, or None if the run was never started.

    A tested run of stage 1 that was made without the runner is accepted: its state is built from
    its configuration file.

    Args:
        folder: Folder of the run.

    Raises:
        LipfaultError: If the folder holds anything else than a run of an experiment.
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
    # metrics.json is written by the test, so its presence means that the run is complete.
    if config.is_file() and (folder / 'metrics.json').is_file():
        settings = yaml.safe_load(config.read_text())
        if 'pretrained' not in settings['model']['init_args']:
            return State(flat(settings), done='tested')
    raise LipfaultError(
        f'{folder} is not empty, has no {FILE}, and is no tested run of stage 1: '
        'move it out of the way'
    )


def check_unchanged(found: State, wanted: State, folder: Path) -> None:
    """Refuse to resume or report a run of another configuration.

    Args:
        found: State of the run on disk.
        wanted: State with which the run would start now.
        folder: Folder of the run, for the message.

    Raises:
        LipfaultError: If the hashes differ; the message names up to five settings that differ.
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
    """Return nested settings by dotted key, without `PLACES`.

    Args:
        settings: Nested settings. An empty list or mapping equals None.
        prefix: Prefix of all keys, with its trailing dot.

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
            # Parsed settings have [] or {} where a configuration file has no entry.
            found[prefix + key] = None if value in ([], {}) else value
    return found
