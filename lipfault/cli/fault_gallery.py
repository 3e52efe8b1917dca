"""Figures of faults: kinds by severities for images, overlaid signals for series."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from lipfault.faults.collection import catalogue
from lipfault.faults.config import SEVERITIES, FaultConfig
from lipfault.faults.engine import FaultEngine
from lipfault.modality import Modality

_SHADES = {1: '#e9b08a', 3: '#d9773c', 5: '#a33c00'}
_CLEAN = '#1f2933'
"""Colours: severities drawn over a series, and the clean signal."""


@dataclass(frozen=True)
class Moment:
    """A window of one modality with its history.

    Args:
        modality: The modality.
        signal: (1, C, T) in physical units or (1, C, H, W) in [0, 1], float32.
        past: (1, C, steps) or (1, frames, C, H, W), the samples just before the window.
    """

    modality: Modality
    signal: Tensor
    past: Tensor

    def faulty(self, kind: str, severity: int, seed: int) -> tuple[Tensor, Tensor]:
        """Inject a fault.

        Args:
            kind: Name of the kind of fault.
            severity: From 1 to 5.
            seed: Seed of the draws.

        Returns:
            Faulty signal, (C, T) or (C, H, W), and the channels with a fault, (C,) bool.
        """
        config = FaultConfig(
            seed=seed,
            kinds={kind: 1.0},
            severities={severity: 1.0},
            clean_share=0.0,
            whole_share=0.0,
            missing=True,
        )
        name = self.modality.name
        engine = FaultEngine({name: self.modality}, config)
        sample_id = _early_sample(engine)
        observed, labels = engine({name: self.signal}, {name: self.past}, sample_id)
        return observed[name][0], labels.channels[name][0]


def _early_sample(engine: FaultEngine) -> Tensor:
    """Return the first sample id whose fault begins early and lasts to the end, (1,) int64."""
    # Of 500 draws some always qualify; begin and end are shares of the window, above 1 without end.
    columns = engine.plan(torch.arange(500)).columns
    good = (columns.begin > 0.2) & (columns.begin < 0.35) & (columns.end > 1)
    return good[:, 0].nonzero()[:1, 0]


def draw_moment(moment: Moment, seed: int) -> Figure:
    """Draw all kinds of faults that fit a modality.

    Args:
        moment: Window to inject them into.
        seed: Seed of the draws.

    Returns:
        A figure: for an image a grid of frames, for a series a panel for each kind.
    """
    kinds = [kind for kind, fault in catalogue().items() if fault.fits(moment.modality)]
    if moment.modality.kind == 'image':
        return _draw_images(moment, kinds, seed)
    return _draw_series(moment, kinds, seed)


def _draw_images(moment: Moment, kinds: list[str], seed: int) -> Figure:
    """Draw a row for each kind: the clean frame and severities 1 to 5; two kinds side by side."""
    rows, columns = -(-len(kinds) // 2), 2 * (len(SEVERITIES) + 1)
    # Inches: a square for each frame, and a margin for the names of the kinds.
    figure = Figure(figsize=(1.05 * columns + 1.6, 1.05 * rows + 0.4), layout='constrained')
    grid = figure.subplots(rows, columns, squeeze=False)
    for axes in grid.flat:
        axes.set_axis_off()
    for place, kind in enumerate(kinds):
        side, row = divmod(place, rows)
        line = grid[row, side * 6 : side * 6 + 6]
        pictures = [moment.signal[0]]
        pictures += [moment.faulty(kind, severity, seed)[0] for severity in SEVERITIES]
        for severity, (axes, picture) in enumerate(zip(line, pictures, strict=True)):
            _show(axes, picture)
            if row == 0:
                axes.set_title(f'severity {severity}' if severity else 'clean', fontsize=7)
        line[0].text(
            -0.06,
            0.5,
            kind.replace('_', '\n'),
            transform=line[0].transAxes,
            ha='right',
            va='center',
            fontsize=7,
        )
    return figure


def _show(axes: Axes, picture: Tensor) -> None:
    """Show a (C, H, W) picture; missing pixels in magenta."""
    colours = picture[:3] if len(picture) >= 3 else picture[:1].expand(3, -1, -1)
    values = colours.permute(1, 2, 0).numpy()  # (height, width, colour)
    axes.imshow(np.where(np.isnan(values), [1.0, 0.0, 1.0], values), interpolation='nearest')


def _draw_series(moment: Moment, kinds: list[str], seed: int) -> Figure:
    """Draw a panel for each kind: of the channels with a fault the one that moves most."""
    columns = 4
    rows = -(-len(kinds) // columns)
    figure = Figure(figsize=(3.1 * columns, 1.75 * rows + 0.3), layout='constrained')
    grid = figure.subplots(rows, columns, squeeze=False, sharex=True)
    noise = torch.tensor(moment.modality.noise)
    # Standard deviation in units of sensor noise, (channel,): comparable between units.
    motion = moment.signal[0].nan_to_num().std(-1) / noise
    seconds = np.arange(moment.signal.shape[-1]) / moment.modality.rate_hz
    for axes, kind in zip(grid.flat, kinds, strict=False):
        faulty = {severity: moment.faulty(kind, severity, seed) for severity in _SHADES}
        concerned = torch.stack([channels for _, channels in faulty.values()]).any(0)
        channel = int(torch.where(concerned, motion, -1.0).argmax())
        for severity, (signal, _) in reversed(faulty.items()):
            axes.plot(seconds, signal[channel], color=_SHADES[severity], lw=1.2)
        style = ':' if catalogue()[kind].missing else '-'
        axes.plot(seconds, moment.signal[0, channel], style, color=_CLEAN, lw=0.8)
        name, unit = moment.modality.channels[channel], moment.modality.units[channel]
        axes.set_title(f'{kind}: {name} [{unit}]', fontsize=7.5, loc='left')
        axes.tick_params(labelsize=6)
    for axes in grid.flat[len(kinds) :]:
        axes.set_axis_off()
    handles: list[Any] = [
        grid.flat[0].plot([], [], color=colour, label=f'severity {severity}')[0]
        for severity, colour in _SHADES.items()
    ]
    handles += grid.flat[0].plot([], [], color=_CLEAN, label='clean')
    figure.legend(handles=handles, loc='outside upper right', ncols=4, fontsize=8, frameon=False)
    figure.supxlabel('seconds', fontsize=8)
    return figure


def moments(
    modalities: Mapping[str, Modality], signals: Mapping[str, Tensor], window_s: float
) -> list[Moment]:
    """Cut the last window out of stretches of signals.

    Args:
        modalities: The modalities.
        signals: For each modality a stretch that ends where the window ends: series (C, steps),
            images (frame, C, H, W).
        window_s: Length of the window in seconds.

    Returns:
        One window for each modality; for an image its last frame.
    """
    found = []
    for name, modality in modalities.items():
        whole = signals[name]
        if modality.kind == 'image':
            # (frame, C, H, W): the last frame is the window, those before it the history
            found.append(Moment(modality, whole[-1:], whole[None, :-1]))
        else:
            steps = max(1, round(window_s * modality.rate_hz))
            found.append(Moment(modality, whole[None, :, -steps:], whole[None, :, :-steps]))
    return found
