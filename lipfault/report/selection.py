"""Select the samples and channels that figures show, and label them."""

from collections.abc import Sequence

import numpy as np

from lipfault.report.results import Array, Examples


def select_samples(kind: Array, severity: Array, count: int) -> list[int]:
    """Select samples with as many different fault kinds as possible, high severity first.

    Args:
        kind: (sample,) index of the fault kind, -1 for clean samples.
        severity: (sample,) severity of the fault.
        count: Largest number of samples.

    Returns:
        Indices of the samples, sorted by kind.

    Example:
        >>> select_samples(np.array([0, 0, 1]), np.array([1, 5, 2]), count=2)
        [1, 2]
    """
    order = np.argsort(-severity, kind='stable')
    # Rank within the kind: rank 0 of every kind precedes rank 1 of any kind.
    rank = np.empty(len(kind), dtype=int)
    for value in np.unique(kind):
        of_kind = order[kind[order] == value]
        rank[of_kind] = np.arange(len(of_kind))
    best = sorted(range(len(kind)), key=lambda n: (rank[n], kind[n]))
    return sorted(best[:count], key=lambda n: (kind[n], n))


def sample_label(examples: Examples, index: int, kinds: Sequence[str]) -> str:
    """Return fault kind and severity of a sample on two lines; without a fault, its number.

    Args:
        examples: Samples of one modality.
        index: Index of the sample.
        kinds: Names of the fault kinds.

    Returns:
        Text of one or two lines.
    """
    kind = int(examples.kind[index])
    if kind < 0:
        return f'sample {index + 1}'
    return f'{kinds[kind].replace("_", " ")}\nseverity {int(examples.severity[index])}'


def most_affected_channels(examples: Examples, index: int, count: int) -> list[int]:
    """Rank the channels of a series by the change that the fault causes.

    The change is an RMS over time in units of the channel's standard deviation over all samples.
    Without a fault the channels are ranked by their own variation.

    Args:
        examples: Samples of a series modality.
        index: Index of the sample.
        count: Largest number of channels.

    Returns:
        Indices of the channels, largest change first.
    """
    # clean is (sample, channel, time); 1e-9 avoids the division by zero of constant channels
    spread = examples.clean.std(axis=(0, 2)) + 1e-9
    clean = examples.clean[index]
    if examples.faulty is None:
        change = clean - clean.mean(axis=1, keepdims=True)
    else:
        change = examples.faulty[index] - clean
    rms = np.sqrt(np.square(change).mean(axis=1)) / spread
    # Missing values (NaN) count as the largest change.
    rms = np.nan_to_num(rms, nan=np.inf)
    return [int(channel) for channel in np.argsort(-rms, kind='stable')[:count]]


def most_changed_samples(examples: Examples, count: int) -> list[int]:
    """Select the samples that their fault changes most, one per fault kind.

    Args:
        examples: Samples of one modality.
        count: Largest number of samples.

    Returns:
        Indices of the samples, largest change first; without faults the first samples.
    """
    if examples.faulty is None:
        return list(range(min(count, len(examples.clean))))
    change = np.nan_to_num(np.square(examples.faulty - examples.clean))
    order = change.reshape(len(change), -1).sum(axis=1).argsort()[::-1]
    # In ascending order the last sample of a kind, the most changed one, overwrites the others.
    best_of_kind = {int(examples.kind[index]): int(index) for index in order[::-1]}
    return [int(index) for index in order if int(index) in best_of_kind.values()][:count]
