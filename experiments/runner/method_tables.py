"""Markdown tables of methods: metrics, recall, and paired differences."""

from collections.abc import Iterable, Mapping, Sequence

from experiments.runner.kept import Values
from experiments.runner.pairs import METRICS
from experiments.runner.results import over_seeds, table

MethodMetrics = dict[str, dict[str, Values]]
"""Metrics by method and seed."""

RECALLS = {
    'recall by damage': 'detection/recall_damage_',
    'recall by kind held out': 'detection_unseen/recall_kind_',
}
"""Tables of recall, and the prefix of their keys."""


def metrics_table(metrics: MethodMetrics, keys: Iterable[str]) -> list[str]:
    """Return a table with a row per metric that any method has, and a column per method.

    The number of seeds stands in the head of a column, and in a cell if only some seeds have the
    metric.

    Args:
        metrics: Metrics by method and seed.
        keys: Keys of the metrics, in the order of the rows.
    """
    heads = [f'{name} ({len(seeds)})' for name, seeds in metrics.items()]
    known = {key for seeds in metrics.values() for m in seeds.values() for key in m}
    # A metric that no method has is left out, such as delays before they are measured.
    rows = {
        f'`{key}`': [_cell([m[key] for m in s.values() if key in m], s) for s in metrics.values()]
        for key in keys
        if key in known
    }
    return table(['metric', *heads], rows)


def _cell(values: Sequence[float], seeds: Mapping[str, Values]) -> str:
    some = f' ({len(values)})' if 0 < len(values) < len(seeds) else ''
    return over_seeds(values) + some


def recall_table(metrics: MethodMetrics, what: str) -> list[str]:
    """Return a table of the recall on parts of the faults, with a row per method.

    Args:
        metrics: Metrics by method and seed.
        what: Key of `RECALLS`.

    Returns:
        Lines of the table; none if no method has such a recall.
    """
    prefix = RECALLS[what]
    every = {key for seeds in metrics.values() for m in seeds.values() for key in m}
    parts = sorted((k.removeprefix(prefix) for k in every if k.startswith(prefix)), key=_order)
    rows = {
        name: [over_seeds(m[prefix + p] for m in seeds.values() if prefix + p in m) for p in parts]
        for name, seeds in metrics.items()
    }
    # `16_64` becomes `16 to 64`, `channel_swap` becomes `channel swap`.
    heads = [part.replace('_', ' to ' if part[0].isdigit() else ' ') for part in parts]
    return table([what, *heads], rows) if parts else []


def _order(part: str) -> tuple[float, str]:
    """Sort ranges of damage (`16_64`) by their lower end, kinds by name."""
    return float(part.split('_')[0]) if part[0].isdigit() else 0.0, part


def pairs_table(pairs: Mapping[str, Mapping[str, Mapping[str, float]]], title: str) -> list[str]:
    """Return a table of paired differences with 95 % intervals, with a row per other method.

    Args:
        pairs: `mean`, `low` and `high` by method and metric.
        title: Head of the column of methods.
    """
    rows: dict[str, Sequence[str]] = {
        name: [
            '{mean:+.3g} [{low:+.3g}, {high:+.3g}]'.format(**found[f]) if f in found else '–'
            for f in METRICS
        ]
        for name, found in pairs.items()
    }
    return table([title, *METRICS], rows)
