"""Which samples to show, and what to call them."""

from collections.abc import Sequence

import numpy as np

from lipfault.report.results import Array, Examples


def pick(kind: Array, severity: Array, count: int) -> list[int]:
    """Indices of at most `count` samples, as many different kinds as possible, severe ones first.

    Args:
        kind: (sample,) index of the fault kind, -1 where there is none.
        severity: (sample,) severity of the fault.
        count: How many samples to show.

    Example:
        >>> pick(np.array([0, 0, 1]), np.array([1, 5, 2]), count=2)
        [1, 2]
    """
    order = np.argsort(-severity, kind='stable')
    turn = np.empty(len(kind), dtype=int)
    for value in np.unique(kind):
        of_kind = order[kind[order] == value]
        turn[of_kind] = np.arange(len(of_kind))
    best = sorted(range(len(kind)), key=lambda n: (turn[n], kind[n]))
    return sorted(best[:count], key=lambda n: (kind[n], n))


def sample_name(examples: Examples, place: int, kinds: Sequence[str]) -> str:
    """The kind and the severity of a sample's fault, on two lines; without one, its number.

    Args:
        examples: Samples of one modality.
        place: Index of the sample.
        kinds: Names of the fault kinds.
    """
    kind = int(examples.kind[place])
    if kind < 0:
        return f'sample {place + 1}'
    return f'{kinds[kind].replace("_", " ")}\nseverity {int(examples.severity[place])}'


def most_affected(examples: Examples, place: int, count: int) -> list[int]:
    """The channels of a series that show a sample best, the best first.

    With a fault these are the channels that it changed most in units of their spread over all
    samples, without one those that move most.

    Args:
        examples: Samples of a series.
        place: Index of the sample.
        count: How many channels to name.
    """
    spread = examples.clean.std(axis=(0, 2)) + 1e-9
    clean = examples.clean[place]
    if examples.faulty is None:
        change = clean - clean.mean(axis=1, keepdims=True)
    else:
        change = examples.faulty[place] - clean
    size = np.nan_to_num(np.sqrt(np.square(change).mean(axis=1)) / spread, nan=np.inf)
    return [int(channel) for channel in np.argsort(-size, kind='stable')[:count]]
