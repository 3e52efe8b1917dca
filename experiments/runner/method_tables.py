"""Tables of methods: their figures, their recall, and how far ours is from them."""

from collections.abc import Iterable, Mapping, Sequence

from experiments.runner.kept import Values
from experiments.runner.pairs import FIGURES
from experiments.runner.results import over_seeds, table

Figures = dict[str, dict[str, Values]]
"""By method and seed."""

RECALLS = {
    'recall by damage': 'detection/recall_damage_',
    'recall by kind held out': 'detection_unseen/recall_kind_',
}
"""Tables of recall, and how the keys of their figures begin."""


def metrics_table(metrics: Figures, keys: Iterable[str]) -> list[str]:
    """One row for each figure that any method has, one column for each method.

    The number of seeds stands at the head, and where only some of them have a figure beside it.
    """
    heads = [f'{name} ({len(seeds)})' for name, seeds in metrics.items()]
    known = {key for seeds in metrics.values() for m in seeds.values() for key in m}
    rows = {
        f'`{key}`': [_cell([m[key] for m in s.values() if key in m], s) for s in metrics.values()]
        for key in keys
        if key in known
    }
    return table(['figure', *heads], rows)


def _cell(values: Sequence[float], seeds: Mapping[str, Values]) -> str:
    some = f' ({len(values)})' if 0 < len(values) < len(seeds) else ''
    return over_seeds(values) + some


def recall_table(metrics: Figures, what: str) -> list[str]:
    """Recall on parts of the faults, one row for each method.

    Args:
        metrics: By method and seed.
        what: Of `RECALLS`.
    """
    prefix = RECALLS[what]
    every = {key for seeds in metrics.values() for m in seeds.values() for key in m}
    parts = sorted((k.removeprefix(prefix) for k in every if k.startswith(prefix)), key=_place)
    rows = {
        name: [over_seeds(m[prefix + p] for m in seeds.values() if prefix + p in m) for p in parts]
        for name, seeds in metrics.items()
    }
    heads = [part.replace('_', ' to ' if part[0].isdigit() else ' ') for part in parts]
    return table([what, *heads], rows) if parts else []


def _place(part: str) -> tuple[float, str]:
    """Ranges of damage (`0_1`) by their beginning, kinds by their name."""
    return float(part.split('_')[0]) if part[0].isdigit() else 0.0, part


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
