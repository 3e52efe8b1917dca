"""The configuration of a run, reduced to what an evaluation of the run needs."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from lipfault.errors import LipfaultError
from lipfault.runs.config import read_config
from lipfault.runs.folder import CONFIG_NAME
from lipfault.runs.trust import OPTION, require_trusted

_KEPT = ('seed_everything', 'model', 'data', 'loggers', 'group')
_TRAINER = (
    'accelerator', 'strategy', 'devices', 'num_nodes', 'precision', 'limit_val_batches',
    'limit_test_batches', 'limit_predict_batches', 'log_every_n_steps', 'enable_progress_bar',
    'enable_model_summary', 'deterministic', 'benchmark', 'inference_mode',
    'use_distributed_sampler', 'detect_anomaly', 'sync_batchnorm',
)  # fmt: skip
"""Settings of the trainer that an evaluation takes over; the others write, profile or train."""


def with_reduced_configs(args: list[str]) -> list[str]:
    """Replace the configuration of a run by the settings that an evaluation needs.

    Folders, callbacks, profilers and plugins of the training are left out, so that nothing is
    written outside the run. Classes outside lipfault, torch and lightning are refused, unless the
    user consents.

    Args:
        args: A subcommand of Lightning that evaluates, and its options.

    Returns:
        The same words with settings in YAML in place of each `lipfault_config.yaml`.

    Raises:
        LipfaultError: If a file is damaged, or names a class that needs consent.
    """
    consent = _consents(args)
    found, follows = [], False
    for word in args:
        name, equals, value = word.partition('=')
        if follows:
            word = _reduced(word, consent)
        elif name in ('--config', '-c') and equals:
            word = f'{name}={_reduced(value, consent)}'
        follows = word in ('--config', '-c')
        found.append(word)
    return found


def evaluation_settings(settings: Mapping[str, Any], where: str, consent: bool) -> dict[str, Any]:
    """Select the settings of a run that an evaluation needs.

    Args:
        settings: Complete configuration of the run, in plain types.
        where: Its file, for messages.
        consent: Whether classes outside lipfault, torch and lightning may be imported.

    Returns:
        Settings of data, model and trainer; callbacks of the training with consent only.

    Raises:
        LipfaultError: If a section is no mapping, or a class needs consent.
    """
    for key, value in _sections(settings):
        if value is not None and not isinstance(value, Mapping):
            raise LipfaultError(f'{where}: {key} must hold settings by name, holds {value!r}')
    kept = {key: settings[key] for key in _KEPT if settings.get(key) is not None}
    trainer = settings.get('trainer') or {}
    names = (*_TRAINER, 'callbacks') if consent else _TRAINER
    kept['trainer'] = {key: trainer[key] for key in names if trainer.get(key) is not None}
    require_trusted(kept, where, consent)
    return kept


def _sections(settings: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield what must be a mapping: a text in its place would name another file to read."""
    for key in ('model', 'data', 'trainer'):
        yield key, settings.get(key)
        if not isinstance(settings.get(key) or {}, Mapping):
            return
    data, model = settings.get('data') or {}, settings.get('model') or {}
    yield 'data.faults', data.get('faults')
    given = model.get('init_args')
    yield 'model.init_args', given
    for name, value in (given or {}).items() if isinstance(given, Mapping) else ():
        if isinstance(value, str) and name != 'pretrained':
            yield f'model.init_args.{name}', value


def _reduced(file: str, consent: bool) -> str:
    """Return the settings of a run as YAML; another configuration as it is."""
    path = Path(file)
    if path.name != CONFIG_NAME:
        return file
    settings = evaluation_settings(read_config(path), file, consent)
    return yaml.safe_dump(settings, sort_keys=False)


def _consents(args: list[str]) -> bool:
    """Return whether the words hold the consent of the user."""
    words = ' '.join(args).replace('=', ' ').split()
    return any(
        word == f'--{OPTION}' and (after.startswith('-') or after.lower() in ('true', 'yes', '1'))
        for word, after in zip(words, [*words[1:], '-'], strict=True)
    )
