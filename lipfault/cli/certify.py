"""Arguments of `lipfault certify`: a test with one more callback."""

import json

_CERTIFIER = 'lipfault.callbacks.certificate.CertificateWriter'
_QUICK = {'samples': 8, 'attacked': 1, 'steps': 3}
"""Settings of `--quick`; the certified bounds are the same, the adversary is weaker."""


def certifying(args: list[str]) -> list[str]:
    """Return the arguments of the test that `certify` runs.

    Args:
        args: `certify` and the words after it; `--quick` for fewer faults and steps.

    Returns:
        `test` and its options.
    """
    words = [word for word in args[1:] if word not in ('--quick', '--quick=true')]
    writer = {'class_path': _CERTIFIER, 'init_args': _QUICK if len(words) < len(args) - 1 else {}}
    return ['test', *words, f'--trainer.callbacks+={json.dumps(writer)}']
