"""Continuous recordings with scheduled faults, and when each method raises the alarm."""

import math
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib import rc_context
from matplotlib.figure import Figure
from torch import Tensor

from experiments.baselines.experiment import looked_at, runs_of
from experiments.runner.catalogue import Experiment
from experiments.runner.data import data_of, faults_of
from experiments.runner.kept import gathered, publish, values_of
from experiments.runner.once import once
from experiments.runner.results import seeds_table, write_figure
from experiments.runner.run import Run
from lipfault.data.datamodule import RecordingDataModule
from lipfault.data.windows import WindowDataset
from lipfault.faults.collection import weighted_kinds
from lipfault.faults.scenario import FaultScenario
from lipfault.faults.schedule import FaultSchedule, draw_schedule
from lipfault.metrics.delay import alarms_outside, delay_summary, detection_delays
from lipfault.report.style import RC, colours, new_figure
from lipfault.tasks.finetune import FinetuneTask
from lipfault.tasks.inputs import observed
from lipfault.tasks.trained import trained_task

EVENTS = {'quick': 1, 'full': 3}
"""Faults in an episode; a severity from 1 to 5 is drawn for each."""

SEED = 0
"""Of the faults that are scheduled, the same for all runs."""

SCHEDULES = {'quick': 1, 'full': 4}
"""Schedules played on each test episode."""

CHUNK = 64
Delays = Mapping[str, Mapping[str, Mapping[str, Any]]]
"""Figures and `delays_s` by method and seed."""

KEYS = ('detected', 'delay_median_s', 'delay_p90_s', 'alarms_outside')


def episodes(dataset: WindowDataset) -> Iterator[range]:
    """The windows of each episode, in order of time."""
    for episode in np.unique(dataset.episode):
        rows = np.flatnonzero(dataset.episode == episode)
        yield range(int(rows[0]), int(rows[-1]) + 1)


@torch.no_grad()
def alarms(
    task: FinetuneTask, data: RecordingDataModule, rows: range, schedule: FaultSchedule
) -> tuple[Tensor, Tensor]:
    """Whether each window of an episode raises the alarm, (window,) bool, and when it ends."""
    dataset, scenario = data.dataset(data.test_split), FaultScenario(schedule)
    found, end_s = [], []
    for start in range(rows.start, rows.stop, CHUNK):
        windows = dataset.fetch(range(start, min(start + CHUNK, rows.stop)))
        batch = data.scenario_batch(windows, scenario)
        score = task.block.detect(observed(task.autoencoder, batch, data.modalities)).score
        found.append(score > task.threshold)
        end_s.append(windows.end_s)
    return torch.cat(found), torch.cat(end_s)


def measure(
    run: Run, preset: str, data: RecordingDataModule, kinds: list[str]
) -> dict[str, object]:
    """Delays of all events, and their summary."""
    task = trained_task(run.where)
    dataset = data.dataset(data.test_split)
    delays, outside = [], []
    for rows in episodes(dataset):
        number = int(dataset.episode[rows.start])
        length_s = float(dataset.fetch([rows[-1]]).end_s)
        for seed in range(SCHEDULES[preset]):
            schedule = draw_schedule(data.modalities, kinds, number, length_s, EVENTS[preset], seed)
            alarm, end_s = alarms(task, data, rows, schedule)
            timing = (alarm, end_s, schedule.spans(), data.geometry.window_s)
            delays.append(detection_delays(*timing))
            outside.append(alarms_outside(*timing))
    together = torch.cat(delays)
    known = [share for share in outside if share == share]
    summary = delay_summary(together) | {'alarms_outside': sum(known) / max(1, len(known))}
    return summary | {'events': len(together), 'delays_s': sorted(together.tolist())}


def measured(preset: str, cell: str, run: Run) -> dict[str, object]:
    """Delays of a tested run, measured once."""
    kinds = sorted(fault.name for fault in weighted_kinds(faults_of(preset, cell, SEED)))
    return once(run, 'delay', lambda: measure(run, preset, data_of(preset, cell, SEED), kinds))


def report(preset: str, folder: Path) -> None:
    """Table and curves of the methods that are done."""
    of_cells = {
        cell: gathered(methods, folder, partial(measured, preset, cell))
        for cell, methods in looked_at(preset).items()
    }
    found = {cell: values_of(columns) for cell, columns in of_cells.items() if columns}
    lines: list[str] = []
    for cell, methods in found.items():
        lines += [f'## {cell}', '', *seeds_table('method (seeds)', methods, ('events', *KEYS)), '']
        write_figure(folder, f'delay_{cell}', draw(methods))
    publish(folder, found, lines, *of_cells.values())


def draw(methods: Delays) -> Figure:
    """Share of the events found, by the time since their onset.

    All seeds of a method together, their number in brackets.
    """
    every = [d for seeds in methods.values() for of in seeds.values() for d in of['delays_s']]
    end = max((d for d in every if math.isfinite(d)), default=1.0)
    with rc_context(RC):
        figure = new_figure(8.4, 4.4)
        axes = figure.subplots()
        used: list[str] = []
        for name, colour in colours(list(methods)).items():
            style = ('-', '--', ':')[used.count(colour) % 3]  # there are fewer colours than methods
            used.append(colour)
            delays = torch.tensor([d for of in methods[name].values() for d in of['delays_s']])
            delays = delays.sort().values
            share = torch.arange(1, len(delays) + 1) / len(delays)
            known = delays.isfinite()
            found = [0.0, *share[known].tolist()]
            times = [0.0, *delays[known].tolist(), end]
            label = f'{name} ({len(methods[name])})'
            axes.step(times, [*found, found[-1]], where='post', color=colour, ls=style, label=label)
        axes.set(xlabel='seconds since the onset', ylabel='share of the events found', ylim=(0, 1))
        figure.legend(fontsize=7.5, loc='outside right center')
    return figure


def runs(preset: str) -> list[Run]:
    """The runs of `baselines`."""
    return runs_of(looked_at(preset))


EXPERIMENT = Experiment(
    question='How long after its onset is a fault found on a continuous recording?',
    cost={'quick': '1 min', 'full': '25 min'},
    runs=runs,
    report=report,
)
