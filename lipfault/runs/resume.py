"""Settings that a resumed run cannot change."""

import re
from collections.abc import Iterable

from lipfault.errors import LipfaultError
from lipfault.runs.config_diff import MISSING

_OPTIMIZER = 'the optimizer goes on with the rates and decays of its checkpoint'

_SECTIONS = {'model.init_args.optimizer': _OPTIMIZER}
"""Sections that a configuration may leave out, and why giving them would have no effect."""

_WITHOUT_EFFECT = (
    (r'model\.init_args\.optimizer\.', _OPTIMIZER),
    (
        r'model\.init_args\.config\.modulation\..*\.target$',
        'the targets of modulated layers are part of the checkpoint',
    ),
    (r'seed_everything$', 'the weights are those of the checkpoint'),
)
"""Pattern of a key, and the reason why another value would have no effect."""


def refuse_ineffective(changes: Iterable[str]) -> None:
    """Refuse a changed setting that would have no effect on a resumed run.

    Accepted, the setting would stand in the configuration of the run without being true.

    Args:
        changes: Phrases of `lipfault.runs.folder.changes_since`.

    Raises:
        LipfaultError: Names the key, both values and the reason.
    """
    changes = list(changes)
    for change in changes:
        # A section that was left to its defaults, and is given now.
        section, _, values = change.partition(' is ')
        if values == f'{MISSING}, was None' and section in _SECTIONS:
            raise LipfaultError(
                f'{section} is given, and was not before: a resumed run cannot change it, since '
                f'{_SECTIONS[section]}; leave it out, or train a new run with it'
            )
    for change in changes:
        key = change.split(' is ', 1)[0]
        # A setting that the version of the checkpoint did not have; patterns are the user's.
        if change.endswith(f', was {MISSING}') and '.lr_scale.' not in key:
            continue
        for pattern, reason in _WITHOUT_EFFECT:
            if re.match(pattern, key):
                raise LipfaultError(
                    f'{change}: a resumed run cannot change it, since {reason}; resume with the '
                    'value before, or train a new run with this one'
                )
