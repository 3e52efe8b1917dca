"""Draw the picture of the README: what is found and corrected, beside baselines and on one frame.

    python docs/images/make_readme_picture.py runs/demo/finetune

The bars come from the committed results of `experiments/baselines`, the frames from the test of the
run that is named.
"""

import json
import sys
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use('agg')

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from numpy.typing import NDArray

from lipfault.report.style import BLUE, INK, MAP, RC

ROOT = Path(__file__).parents[2]
RUNS = ROOT / 'experiments/baselines/results/runs.json'
OUT = ROOT / 'docs/images/readme.png'
CELL = 'ur5'
NAMES = {
    'fault_map': 'lipfault 0.2',
    'paper': 'method as published',
    'denoising': 'denoising autoencoder',
    'unimodal': 'denoising, each alone',
    'vae': 'multimodal VAE',
    'adversarial': 'adversarial autoencoder',
    'modality_dropout': 'modality dropout',
    'pca': 'probabilistic PCA',
    'kalman': 'Kalman smoother',
    'detect_reject_correct': 'detect, reject, predict',
    'residual_attention': 'residual attention',
}
"""The methods that are shown and what they are called; tuned variants are in the full table."""
GREY = '#c3ccd4'


def figures_of(runs: dict[str, Any], method: str) -> dict[str, float]:
    """Compute recall and recovery of a method, means over its seeds.

    Args:
        runs: Content of `runs.json`.
        method: Key of the method.

    Returns:
        `recall` and `recovery` in [0, 1], each also with `_unseen` for kinds held out of training.
    """
    found: dict[str, list[float]] = {}
    for name, run in runs.items():
        _, cell, variant = name.split('/')
        if variant != method or cell.rpartition('-')[0] != CELL:
            continue
        for split, suffix in (('seen', ''), ('unseen', '_unseen')):
            sums = run['values']['episodes'][split]
            found.setdefault(f'recall{suffix}', []).append(
                sum(sums['true_positives']) / sum(sums['faulty'])
            )
            recovery = run['values']['metrics'][f'recovery/{split}']
            found.setdefault(f'recovery{suffix}', []).append(recovery)
    return {key: float(np.mean(values)) for key, values in found.items()}


def draw_bars(axes: Axes, table: dict[str, dict[str, float]], key: str, title: str) -> None:
    """Draw one bar for each method, and a mark for fault kinds held out of training.

    Args:
        axes: Where to draw.
        table: Figures by method, the best at the end.
        key: Which figure.
        title: What the figure means.
    """
    values = [max(0.0, row[key]) for row in table.values()]
    colours = [BLUE if method == 'fault_map' else GREY for method in table]
    places = np.arange(len(table))
    axes.barh(places, values, color=colours, height=0.72)
    unseen = [max(0.0, row[f'{key}_unseen']) for row in table.values()]
    axes.plot(unseen, places, '|', color=INK, ms=9, mew=1.4, label='kinds not seen in training')
    for place, value in zip(places, values, strict=True):
        bold = 'bold' if colours[int(place)] == BLUE else 'normal'
        # Inside the bar, since the mark may be just behind its end; behind both where it is short.
        left = 0.012 if value > 0.12 else max(value, unseen[int(place)]) + 0.03
        axes.text(left, place, f'{value:.2f}', va='center', fontsize=8, weight=bold,
                  color='white' if bold == 'bold' else INK)  # fmt: skip
    axes.set(xlim=(0, 1), xticks=[0, 0.5, 1], title=title)
    axes.grid(visible=False, axis='y')
    axes.tick_params(axis='y', length=0)


def most_changed(arrays: dict[str, NDArray[Any]], name: str, count: int) -> list[int]:
    """Return the samples that their fault changed most, one of each kind.

    Args:
        arrays: Content of the run's `results.npz`.
        name: An image modality.
        count: How many samples at most.

    Returns:
        Indices into the examples, the most changed first.
    """
    clean, faulty = arrays[f'examples/{name}/clean'], arrays[f'examples/{name}/faulty']
    change = np.square(np.nan_to_num(faulty - clean)).reshape(len(clean), -1).sum(axis=1)
    kinds = arrays[f'examples/{name}/kind']
    chosen: list[int] = []
    for index in np.argsort(-change):
        if kinds[index] not in kinds[chosen]:
            chosen.append(int(index))
    return chosen[:count]


def draw_frames(figure: SubFigure, run: Path, rows: int = 3) -> None:
    """Draw frames of a run's test: true, as read, corrected, and the fault map.

    Args:
        figure: Where to draw.
        run: Folder of a tested run of stage 2 with an image modality.
        rows: Number of frames.

    Raises:
        SystemExit: If the run has no image among its examples.
    """
    with np.load(run / 'results.npz', allow_pickle=False) as content:
        arrays = {key: content[key] for key in content.files}
    images = [n for n in map(str, arrays['modalities']) if arrays[f'examples/{n}/clean'].ndim == 4]
    if not images:
        raise SystemExit(f'{run} has no image modality to draw')
    name = images[0]
    columns = {
        'clean': 'true',
        'faulty': 'as read',
        'corrected': 'corrected',
        'fault_map': 'fault map',
    }
    places = most_changed(arrays, name, rows)
    grid = figure.subplots(len(places), len(columns), squeeze=False)
    for number, (row, place) in enumerate(zip(grid, places, strict=True)):
        for axes, (key, title) in zip(row, columns.items(), strict=True):
            image = np.nan_to_num(arrays[f'examples/{name}/{key}'][place]).clip(0, 1)
            if key == 'fault_map':
                axes.imshow(image.max(axis=0), cmap=MAP, vmin=0, vmax=1)
            else:
                shown = image.transpose(1, 2, 0) if len(image) == 3 else image.mean(axis=0)
                axes.imshow(shown, cmap='gray', vmin=0, vmax=1)
            axes.set(xticks=[], yticks=[])
            axes.spines[:].set_visible(key == 'fault_map')
            if number == 0:
                axes.set_title(title, loc='center')
        kind = str(arrays['kinds'][int(arrays[f'examples/{name}/kind'][place])]).replace('_', ' ')
        row[0].set_ylabel(kind, fontsize=9)


def draw(run: Path) -> Figure:
    """Draw the whole picture, about 1300 x 520 pixels.

    Args:
        run: Folder of a tested run of stage 2.

    Returns:
        The figure.
    """
    runs = json.loads(RUNS.read_text())
    table = {method: figures_of(runs, method) for method in NAMES}
    table = dict(sorted(table.items(), key=lambda item: item[1]['recall']))
    figure = Figure(figsize=(11.0, 4.3), layout='constrained')
    left, right = figure.subfigures(1, 2, width_ratios=[1.35, 1])
    found, corrected = left.subplots(1, 2, sharey=True)
    draw_bars(found, table, 'recall', 'faults found')
    draw_bars(corrected, table, 'recovery', 'error corrected')
    found.set_yticks(range(len(table)), labels=[NAMES[method] for method in table])
    found.get_yticklabels()[-1].set_weight('bold')
    found.set_xlabel('recall at 1 % false alarms')
    corrected.set_xlabel('recovery (1: as without fault)')
    handles, labels = found.get_legend_handles_labels()
    left.legend(handles, labels, loc='outside lower center', fontsize=8, labelcolor=INK)
    draw_frames(right, run)
    return figure


if __name__ == '__main__':
    if len(sys.argv) != 2:
        raise SystemExit(f'usage: {sys.argv[0]} RUN   (a tested run of stage 2)')
    with matplotlib.rc_context(RC):
        draw(Path(sys.argv[1])).savefig(OUT, dpi=120)
