"""Tables of methods: their figures, their recall, and how far ours is from them."""

from collections.abc import Iterable, Mapping, Sequence

from experiments.runner.kept import Values
from experiments.runner.pairs import FIGURES
from experiments.runner.results import over_seeds, table

Figures = dict[str, dict[str, Values]]
"""By method and seed."""


def metrics_table(metrics: Figures, keys: Iterable[str]) -> list[str]:
    """One row for each figure that any method has, one column for each method."""
    heads = [f'{name} ({len(seeds)})' for name, seeds in metrics.items()]
    known = {key for seeds in metrics.values() for m in seeds.values() for key in m}
    rows = {
        f'`{key}`': [
            over_seeds(m[key] for m in seeds.values() if key in m) for seeds in metrics.values()
        ]
        for key in keys
        if key in known
    }
    return table(['figure', *heads], rows)


def recall_table(metrics: Figures) -> list[str]:
    """Recall on seen kinds by damage, one row for each method."""
    prefix = 'detection/recall_damage_'
    every = [key for seeds in metrics.values() for m in seeds.values() for key in m]
    keys = sorted({k for k in every if k.startswith(prefix)}, key=lambda k: float(k.split('_')[2]))
    rows = {
        name: [over_seeds(m[key] for m in seeds.values() if key in m) for key in keys]
        for name, seeds in metrics.items()
    }
    heads = [k.removeprefix(prefix).replace('_', ' to ') for k in keys]
    return table(['recall by damage', *heads], rows) if keys else []


def pairs_table(pairs: Mapping[str, Mapping[str, Mapping[str, float]]], title: str) -> list[str]:
    """One row for each other method: mean difference and 95 % interval."""
    rows: dict[str, Sequence[str]] = {
        name: [
            '{mean:+.3g} [{low:+.3g}, {high:+.3g}]'.format(**found[f]) if f in found else '–'
            for f in FIGURES
        ]
        for name, found in pairs.items()
    }
    return table([title, *FIGURES], rows)
