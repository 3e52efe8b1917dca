"""Results of runs: read, aggregated over seeds, and written as JSON, Markdown and figures."""

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
from lipfault.report.run import renamed
from lipfault.report.style import RC

Metrics = dict[str, float]


def tested(run: Run) -> bool:
    """Return whether a run has been tested.

    Args:
        run: The run.
    """
    return run.folder.exists() and getattr(read_state(run.folder), 'done', '') == 'tested'


def read_metrics(run: Run) -> Metrics:
    """Return `metrics.json` of a tested run; null becomes NaN.

    Args:
        run: A tested run.
    """
    found: dict[str, float | None] = json.loads((run.folder / 'metrics.json').read_text())
    return renamed({key: math.nan if value is None else value for key, value in found.items()})


def metrics_of(run: Run) -> Metrics:
    """Return `metrics.json` of a tested run, with `cpu_s/fit` and `cpu_s/test` in CPU seconds.

    Args:
        run: A tested run.
    """
    found = read_metrics(run)
    state = read_state(run.folder)
    if state is not None:
        found |= {f'cpu_s/{name}': seconds for name, seconds in state.cpu_s.items()}
    return found


def picked(metrics: Metrics, keys: Iterable[str]) -> Metrics:
    """Return the metrics of some keys, in the order of the keys.

    Args:
        metrics: Metrics of a run.
        keys: Keys to keep; keys without a metric are left out.
    """
    return {key: metrics[key] for key in keys if key in metrics}


def device_of(run: Run) -> str:
    """Return the device that trained a run, from its `environment.json`.

    Args:
        run: The run.
    """
    return str(_environment(run).get('device', 'not recorded'))


def version_of(run: Run) -> str:
    """Return the version of lipfault that trained a run; empty if it is not recorded.

    Args:
        run: The run.
    """
    return str(_environment(run).get('packages', {}).get('lipfault', ''))


def _environment(run: Run) -> dict[str, Any]:
    # Written when training starts; a run adopted from elsewhere may lack it.
    file = run.folder / 'environment.json'
    found: dict[str, Any] = json.loads(file.read_text()) if file.exists() else {}
    return found


def trained_on(devices: Iterable[str]) -> str:
    """Return a sentence that counts the runs by training device.

    Args:
        devices: Device of each run.

    Example:
        >>> trained_on(['cpu', 'NVIDIA H200', 'cpu'])
        'Trained on: NVIDIA H200 (1 run), cpu (2 runs).'
    """
    counts = sorted(Counter(devices).items())
    parts = [f'{device} ({n} run{"s" if n > 1 else ""})' for device, n in counts]
    return f'Trained on: {", ".join(parts)}.'


def measured_with(versions: Iterable[str]) -> str:
    """Return a sentence that names the versions of lipfault behind some results.

    Args:
        versions: Version of each run.

    Example:
        >>> measured_with(['0.1.0', '0.1.0'])
        'Measured with lipfault 0.1.0.'
    """
    return f'Measured with lipfault {", ".join(sorted(set(versions)))}.'


def over_seeds(values: Iterable[float]) -> str:
    """Return the mean over seeds as text, with the sample standard deviation of several seeds.

    Args:
        values: One value per seed. NaN is left out; an infinite value makes the mean infinite.

    Example:
        >>> over_seeds([0.5, 0.7]), over_seeds([0.25]), over_seeds([]), over_seeds([0.5, math.inf])
        ('0.6 ± 0.14', '0.25', '–', 'inf')
    """
    # NaN: the metric has no value with this seed, such as the recall of a kind that was not drawn.
    known = [v for v in values if not math.isnan(v)]
    infinite = [v for v in known if math.isinf(v)]
    if len(known) < 2 or infinite:
        return f'{(infinite or known)[0]:.4g}' if known else '–'
    return f'{mean(known):.4g} ± {stdev(known):.2g}'


def table(columns: Iterable[str], rows: Mapping[str, Iterable[str]]) -> list[str]:
    """Return the lines of a Markdown table.

    Args:
        columns: Heads of the columns; the first is the head of the row names.
        rows: Cells by name of the row.
    """
    heads = list(columns)
    lines = [f'| {" | ".join(heads)} |', '|' + '---|' * len(heads)]
    return lines + [f'| {" | ".join((name, *cells))} |' for name, cells in rows.items()]


def write_json(file: Path, values: Mapping[str, Any], in_order: bool = False) -> None:
    """Write JSON atomically.

    Args:
        file: Path of the file.
        values: Plain values.
        in_order: Keep the order of keys. Sorted keys make equal values give equal bytes.
    """
    # The process id: two runners may report the same experiment at the same time.
    temporary = file.with_name(f'.{file.name}.{os.getpid()}.tmp')
    temporary.write_text(json.dumps(values, indent=1, sort_keys=not in_order) + '\n')
    temporary.replace(file)


def seeds_table(
    first: str, found: Mapping[str, Mapping[str, Metrics]], keys: Iterable[str]
) -> list[str]:
    """Return a Markdown table with a row per variant and a column per metric.

    Args:
        first: Head of the column of variants.
        found: Metrics by variant and seed; the number of seeds follows the variant's name.
        keys: Keys of the metrics.
    """
    heads = list(keys)
    rows = {
        f'{name} ({len(seeds)})': [
            over_seeds(m[key] for m in seeds.values() if key in m) for key in heads
        ]
        for name, seeds in found.items()
    }
    return table([first, *(f'`{key}`' for key in heads)], rows)


def write_results(
    folder: Path,
    values: Mapping[str, Any],
    lines: Iterable[str],
    page: Path | None = None,
    devices: Iterable[str] = (),
    versions: Iterable[str] = (),
) -> None:
    """Write `results.json` and a Markdown page; keep earlier results if there are no values.

    Args:
        folder: Folder of the results.
        values: Content of `results.json`.
        lines: Lines of the page.
        page: Path of the page; `results.md` in the folder if None.
        devices: Training device of each run, named at the top of the page.
        versions: Version of lipfault of each run, named at the top of the page.
    """
    # A checkout without runs must not overwrite committed results with an empty report.
    if not values and (folder / 'results.json').exists():
        return
    of_runs, made_with = list(devices), list(versions)
    head = [trained_on(of_runs)] if of_runs else []
    head += [measured_with(made_with)] if made_with else []
    text = '\n'.join([*([' '.join(head), ''] if head else []), *lines])
    write_json(folder / 'results.json', values)
    (page or folder / 'results.md').write_text(text.rstrip() + '\n')


def write_figure(folder: Path, name: str, figure: Figure) -> None:
    """Write a figure as PNG and SVG.

    Args:
        folder: Folder of the results.
        name: File name without suffix.
        figure: The figure.
    """
    # No date, no software version, fixed SVG identifiers: equal figures give equal bytes.
    with rc_context(RC | {'svg.hashsalt': 'lipfault'}):
        figure.savefig(folder / f'{name}.png', metadata={'Software': None})
        figure.savefig(folder / f'{name}.svg', metadata={'Date': None})
