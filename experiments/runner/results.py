"""Figures of runs: read, put together over seeds, and written."""

import json
import math
import os
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from matplotlib import rc_context
from matplotlib.figure import Figure

from experiments.runner.run import Run
from experiments.runner.state import read_state
from lipfault.report.style import RC

Metrics = dict[str, float]


def tested(run: Run) -> bool:
    """Whether a run has come to its end."""
    return run.folder.exists() and getattr(read_state(run.folder), 'done', '') == 'tested'


def read_metrics(run: Run) -> Metrics:
    """`metrics.json` of a tested run; null is NaN."""
    found: dict[str, float | None] = json.loads((run.folder / 'metrics.json').read_text())
    return {key: math.nan if value is None else value for key, value in found.items()}


def metrics_of(run: Run) -> Metrics:
    """`metrics.json` of a tested run, with `cpu_s/fit` and `cpu_s/test`."""
    found = read_metrics(run)
    state = read_state(run.folder)
    if state is not None:
        found |= {f'cpu_s/{name}': seconds for name, seconds in state.cpu_s.items()}
    return found


def device_of(run: Run) -> str:
    """What the run was trained on, from its `environment.json`."""
    file = run.folder / 'environment.json'
    found = json.loads(file.read_text()) if file.exists() else {}
    return str(found.get('device', 'not recorded'))


def trained_on(devices: Iterable[str]) -> str:
    """A sentence on the devices of some runs.

    Example:
        >>> trained_on(['cpu', 'NVIDIA H200', 'cpu'])
        'Trained on: NVIDIA H200 (1 run), cpu (2 runs).'
    """
    counts = sorted(Counter(devices).items())
    parts = [f'{device} ({n} run{"s" if n > 1 else ""})' for device, n in counts]
    return f'Trained on: {", ".join(parts)}.'


def over_seeds(values: Iterable[float]) -> str:
    """Mean, and standard deviation over the seeds where there are several.

    If one is infinite, so is the mean.

    Example:
        >>> over_seeds([0.5, 0.7]), over_seeds([0.25]), over_seeds([]), over_seeds([0.5, math.inf])
        ('0.6 ± 0.14', '0.25', '–', 'inf')
    """
    known = [v for v in values if not math.isnan(v)]
    infinite = [v for v in known if math.isinf(v)]
    if len(known) < 2 or infinite:
        return f'{(infinite or known)[0]:.4g}' if known else '–'
    return f'{mean(known):.4g} ± {stdev(known):.2g}'


def table(columns: Iterable[str], rows: Mapping[str, Iterable[str]]) -> list[str]:
    """Lines of a Markdown table.

    Args:
        columns: Heads; the first is that of the names of the rows.
        rows: Cells by name of the row.
    """
    heads = list(columns)
    lines = [f'| {" | ".join(heads)} |', '|' + '---|' * len(heads)]
    return lines + [f'| {" | ".join((name, *cells))} |' for name, cells in rows.items()]


def write_json(file: Path, values: Mapping[str, Any], in_order: bool = False) -> None:
    """Write all or nothing.

    Args:
        file: Where to.
        values: Plain ones.
        in_order: As they come; otherwise sorted, so that the same values give the same file.
    """
    temporary = file.with_name(f'.{file.name}.{os.getpid()}.tmp')
    temporary.write_text(json.dumps(values, indent=1, sort_keys=not in_order) + '\n')
    temporary.replace(file)


def seeds_table(
    first: str, found: Mapping[str, Mapping[str, Metrics]], keys: Iterable[str]
) -> list[str]:
    """A row for each variant with the number of its seeds, a column for each figure.

    Args:
        first: Head of the column of the variants.
        found: Metrics by variant and seed.
        keys: The figures.
    """
    shown = list(keys)
    rows = {
        f'{name} ({len(seeds)})': [
            over_seeds(m[key] for m in seeds.values() if key in m) for key in shown
        ]
        for name, seeds in found.items()
    }
    return table([first, *(f'`{key}`' for key in shown)], rows)


def write_results(
    folder: Path,
    values: Mapping[str, Any],
    lines: Iterable[str],
    page: Path | None = None,
    devices: Iterable[str] = (),
) -> None:
    """`results.json`, and a page for people, `results.md` if no other is named.

    Where no run is on this machine, earlier results stay.

    Args:
        folder: Where they go.
        values: What `results.json` holds.
        lines: Of the page.
        page: Another place for it.
        devices: Above the lines stands on what the runs were trained.
    """
    if not values and (folder / 'results.json').exists():
        return
    of_runs = list(devices)
    text = '\n'.join([*([trained_on(of_runs), ''] if of_runs else []), *lines])
    write_json(folder / 'results.json', values)
    (page or folder / 'results.md').write_text(text.rstrip() + '\n')


def write_figure(folder: Path, name: str, figure: Figure) -> None:
    """A figure as PNG and SVG, the same bytes for the same figure."""
    with rc_context(RC | {'svg.hashsalt': 'lipfault'}):
        figure.savefig(folder / f'{name}.png', metadata={'Software': None})
        figure.savefig(folder / f'{name}.svg', metadata={'Date': None})
