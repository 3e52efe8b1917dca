"""Figures of an audit: the signal, what was expected, and when they part."""

import base64
import io
from collections.abc import Sequence

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lipfault.audit.findings import Candidate
from lipfault.audit.types import Array, Examination, Relation
from lipfault.report.style import BLUE, FAINT, GREEN, INK, RC, VERMILION, new_figure

# Inches.
_WIDTH, _PANEL = 9.0, 2.1


def draw(examination: Examination, candidate: Candidate) -> str:
    """Draw the evidence for a finding.

    Args:
        examination: The audit.
        candidate: The finding.

    Returns:
        The figure as base64 PNG.
    """
    with matplotlib.rc_context(RC):
        figure = _figure(examination, candidate)
        buffer = io.BytesIO()
        figure.savefig(buffer, format='png', dpi=96)
    return base64.b64encode(buffer.getvalue()).decode()


def _figure(examination: Examination, candidate: Candidate) -> Figure:
    """Return the figure that fits the kind of a finding."""
    modality = examination.tracks.modalities[candidate.modality]
    columns = _columns(examination, candidate)
    if modality.kind == 'image' or not columns:
        return _film_figure(examination, candidate)
    figure = new_figure(_WIDTH, _PANEL * len(columns) + 0.3)
    axes = figure.subplots(len(columns), 1, sharex=True, squeeze=False)[:, 0]
    for each, column in zip(axes, columns, strict=True):
        _draw_channel(each, examination, candidate, column)
    axes[-1].set_xlabel('time in the episode, s')
    axes[0].legend(loc='upper left', bbox_to_anchor=(0, 1.22), ncols=4)
    return figure


def _columns(examination: Examination, candidate: Candidate) -> list[int]:
    """Return the columns to draw: the channel, the exchanged one, or the three that move most."""
    table = examination.table
    if table is None:
        return []
    place = {key: column for column, key in enumerate(table.keys)}
    if candidate.channel is not None:
        keys = [(candidate.modality, candidate.channel)]
        if 'with' in candidate.detail:
            keys.append(tuple(candidate.detail['with']))
        return [place[key] for key in keys if key in place]
    own = [column for key, column in place.items() if key[0] == candidate.modality]
    spread = np.std(np.concatenate(table.values), axis=0)
    values = table.values[candidate.episode]
    moved = np.std(values, axis=0) / np.maximum(spread, 1e-12)
    return sorted(own, key=lambda column: -moved[column])[:3]


def _draw_channel(axes: Axes, examination: Examination, candidate: Candidate, column: int) -> None:
    """Draw one channel with its expectation."""
    table = examination.table
    if table is None:
        return
    name, number = table.keys[column]
    modality = examination.tracks.modalities[name]
    track = examination.tracks.tracks[candidate.episode][name]
    times = np.arange(len(track.values)) / modality.rate_hz
    relation = _relation(examination.relations, column)
    _mark(axes, candidate)
    if relation is not None:
        expected = relation.links[candidate.episode].expected
        grid = np.arange(len(expected)) / table.rate_hz
        partner, channel = table.keys[relation.partner]
        label = (
            f'expected from {partner}.{examination.tracks.modalities[partner].channels[channel]}'
        )
        axes.plot(grid, expected, color=BLUE, linewidth=1.1, label=label)
    axes.plot(times, track.values[:, number], color=INK, linewidth=1.2, label='recorded')
    axes.set_ylabel(f'{modality.channels[number]}\n{modality.units[number]}', fontsize=8)
    axes.set_xlim(0, max(times[-1] if len(times) else 1.0, 1e-3))


def _film_figure(examination: Examination, candidate: Candidate) -> Figure:
    """Draw the change of frames above the motion of the series."""
    tracks = examination.tracks
    name = candidate.modality
    track, rate = tracks.tracks[candidate.episode][name], tracks.modalities[name].rate_hz
    table = examination.table
    figure = new_figure(_WIDTH, _PANEL * (1 if table is None else 2) + 0.3)
    axes = figure.subplots(1 if table is None else 2, 1, sharex=True, squeeze=False)[:, 0]
    _mark(axes[0], candidate)
    drawn = track.change if track.change.size else track.present.astype(np.float64)
    label = 'change of frames, grey levels' if track.change.size else 'present'
    axes[0].plot(np.arange(len(drawn)) / rate, drawn, color=INK, linewidth=1.0, label=label)
    axes[0].set_ylabel(label, fontsize=8)
    if table is not None:
        motion = _motion(table.values, candidate.episode)
        grid = np.arange(len(motion)) / table.rate_hz
        _mark(axes[1], candidate)
        axes[1].plot(grid, motion, color=BLUE, linewidth=1.0)
        delay = candidate.detail.get('delay_s')
        if delay and candidate.kind == 'desynchronized':
            axes[1].plot(grid + delay, motion, color=GREEN, linewidth=1.0, linestyle='--',
                         label=f'shifted by {delay:.2f} s')  # fmt: skip
            axes[1].legend(loc='upper right')
        axes[1].set_ylabel('motion of the series', fontsize=8)
    axes[-1].set_xlabel('time in the episode, s')
    return figure


def _motion(values: Sequence[Array], episode: int) -> Array:
    """Return the mean speed of all series, each in units of its spread."""
    scale = np.maximum(np.std(np.concatenate(values), axis=0), 1e-9)
    motion = np.abs(np.diff(values[episode], axis=0, prepend=values[episode][:1])) / scale
    return np.asarray(motion.mean(axis=1))


def _mark(axes: Axes, candidate: Candidate) -> None:
    """Shade the stretch of a finding."""
    axes.axvspan(candidate.start_s, candidate.stop_s, color=VERMILION, alpha=0.13, linewidth=0)
    for time in (candidate.start_s, candidate.stop_s):
        axes.axvline(time, color=FAINT, linewidth=0.7, linestyle=':')


def _relation(relations: Sequence[Relation], column: int) -> Relation | None:
    """Return the relation that predicts a column."""
    return next((relation for relation in relations if relation.channel == column), None)
