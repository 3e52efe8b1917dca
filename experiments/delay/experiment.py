"""Detection delay of each method, on continuous recordings with scheduled faults."""

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

from experiments.baselines.experiment import methods_by_cell
from experiments.runner.by_cell import report_cells
from experiments.runner.catalogue import Experiment
from experiments.runner.data import data_of, faults_of
from experiments.runner.once import once
from experiments.runner.results import seeds_table
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
"""Faults per episode; a severity from 1 to 5 is drawn for each."""

SEED = 0
"""Seed of the scheduled faults, the same for all runs."""

SCHEDULES = {'quick': 1, 'full': 4}
"""Schedules per test episode."""

CHUNK = 64
"""Windows per batch."""

Delays = Mapping[str, Mapping[str, Mapping[str, Any]]]
"""Metrics and `delays_s` by method and seed."""

KEYS = ('detected', 'delay_median_s', 'delay_p90_s', 'alarms_outside')


def episodes(dataset: WindowDataset) -> Iterator[range]:
    """Yield the rows of each episode, in order of time.

    Args:
        dataset: Windows of a split.
    """
    for episode in np.unique(dataset.episode):
        # Rows of an episode are contiguous in a split.
        rows = np.flatnonzero(dataset.episode == episode)
        yield range(int(rows[0]), int(rows[-1]) + 1)


@torch.no_grad()
def alarms(
    task: FinetuneTask, data: RecordingDataModule, rows: range, schedule: FaultSchedule
) -> tuple[Tensor, Tensor]:
    """Run the detector over an episode with scheduled faults.

    Args:
        task: A trained stage 2.
        data: DataModule whose test split is used.
        rows: Rows of the episode in the split.
        schedule: Faults of the episode.

    Returns:
        Whether each window raises an alarm, (window,) bool, and the end of each window in seconds
        from the start of the episode, (window,).
    """
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
    """Return the delays of all scheduled faults, and their summary.

    Args:
        run: A tested run of stage 2.
        preset: `quick` or `full`.
        data: DataModule whose test split is used.
        kinds: Names of the fault kinds to schedule.
    """
    task = trained_task(run.where)
    dataset = data.dataset(data.test_split)
    delays, outside = [], []
    for rows in episodes(dataset):
        episode = data.recordings.episodes[int(dataset.episode[rows.start])].unique_id
        begin_s, length_s = dataset.fetch([rows[0], rows[-1]]).end_s.tolist()
        # Schedules depend on episode and seed alone: every run is tested with the same faults.
        for seed in range(SCHEDULES[preset]):
            schedule = draw_schedule(
                data.modalities,
                kinds,
                episode,
                length_s,
                EVENTS[preset],
                seed,
                begin_s,
                data.severity_scale,
            )
            alarm, end_s = alarms(task, data, rows, schedule)
            timing = (alarm, end_s, schedule.spans(), data.geometry.window_s)
            delays.append(detection_delays(*timing))
            outside.append(alarms_outside(*timing))
    together = torch.cat(delays)
    known = [share for share in outside if share == share]  # NaN: no window without a fault
    summary = delay_summary(together) | {'alarms_outside': sum(known) / max(1, len(known))}
    return summary | {'events': len(together), 'delays_s': sorted(together.tolist())}


def measured(preset: str, cell: str, run: Run) -> dict[str, object]:
    """Return the delays of a tested run, cached in its folder.

    Args:
        preset: `quick` or `full`.
        cell: Name of a shipped recording.
        run: A tested run of stage 2 on this cell.
    """
    # `weighted_kinds` leaves out the held-out kinds: the schedules hold kinds seen in training.
    kinds = sorted(fault.name for fault in weighted_kinds(faults_of(preset, cell, SEED)))
    return once(run, 'delay', lambda: measure(run, preset, data_of(preset, cell, SEED), kinds))


def draw(methods: Delays) -> Figure:
    """Draw the share of faults detected against the time since their onset.

    Args:
        methods: Delays by method and seed. The seeds of a method are pooled; the legend has their
            number.
    """
    every = [d for seeds in methods.values() for of in seeds.values() for d in of['delays_s']]
    end = max((d for d in every if math.isfinite(d)), default=1.0)
    with rc_context(RC):
        figure = new_figure(8.4, 4.4)
        axes = figure.subplots()
        used: list[str] = []
        for name, colour in colours(list(methods)).items():
            style = ('-', '--', ':')[used.count(colour) % 3]  # 7 colours for up to 14 methods
            used.append(colour)
            delays = torch.tensor([d for of in methods[name].values() for d in of['delays_s']])
            delays = delays.sort().values
            share = torch.arange(1, len(delays) + 1) / len(delays)
            # An infinite delay is a missed fault: it counts in the share, but draws no step.
            known = delays.isfinite()
            found = [0.0, *share[known].tolist()]
            times = [0.0, *delays[known].tolist(), end]
            label = f'{name} ({len(methods[name])})'
            axes.step(times, [*found, found[-1]], where='post', color=colour, ls=style, label=label)
        axes.set(xlabel='time since onset (s)', ylabel='share of faults detected', ylim=(0, 1))
        figure.legend(fontsize=7.5, loc='outside right center')
    return figure


def report(preset: str, folder: Path) -> None:
    """Write tables and curves of the tested methods.

    Args:
        preset: `quick` or `full`.
        folder: Folder of the results.
    """
    keys = ('events', *KEYS)
    report_cells(
        methods_by_cell(preset),
        folder,
        partial(measured, preset),
        lambda methods: seeds_table('method (seeds)', methods, keys),
        ('delay', draw),
    )


EXPERIMENT = Experiment(
    question='What is the detection delay of a fault on a continuous recording?',
    cost={'quick': '1 min', 'full': '25 min'},
    report=report,
    columns=methods_by_cell,
)
