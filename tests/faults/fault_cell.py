"""A made-up cell for the tests of the fault engine: two cameras, an arm, a force sensor."""

import math
from dataclasses import fields

import torch

from lipfault.faults.labels import FaultLabels
from lipfault.modality import Modality


def camera(name: str, channels: tuple[str, ...] = ('red', 'green', 'blue')) -> Modality:
    count = len(channels)
    return Modality(
        name,
        'image',
        10.0,
        channels,
        ('1',) * count,
        (0.0,) * count,
        (1.0,) * count,
        (0.01,) * count,
        (16, 12),
    )


def series(name: str, count: int, rate_hz: float = 50.0) -> Modality:
    channels = tuple(f'{name}{place}' for place in range(count))
    low, high, noise = (-3.0,) * count, (3.0,) * count, (0.002,) * count
    return Modality(name, 'series', rate_hz, channels, ('rad',) * count, low, high, noise)


CELL = {
    'front': camera('front'),
    'arm': series('arm', 7),
    'side': camera('side'),
    'force': series('force', 1, 100.0),
}


def batch(ids, modalities=CELL, window_s=1.0, history_s=1.0):
    """(signals, history, sample_id) whose values are a function of the sample id."""
    ids = torch.as_tensor(ids)
    signals, history = {}, {}
    for place, (name, modality) in enumerate(modalities.items()):
        phase = (ids[:, None] * 0.37 + place + torch.arange(len(modality.channels)) * 1.1).float()
        if modality.kind == 'image':
            frames = 1 + round(history_s * modality.rate_hz)
            time = torch.arange(frames)[:, None, None, None] / modality.rate_hz
            row, column = torch.arange(16)[:, None] / 4, torch.arange(12) / 5
            angle = phase[:, None, :, None, None] + row + column + time
            film = 0.5 + 0.4 * torch.sin(angle)
            signals[name], history[name] = film[:, -1].clone(), film[:, :-1].clone()
        else:
            earlier, steps = (round(s * modality.rate_hz) for s in (history_s, window_s))
            time = torch.arange(-earlier, steps) / modality.rate_hz
            tape = torch.sin(2 * math.pi * 0.4 * time + phase[:, :, None])
            signals[name], history[name] = tape[..., earlier:].clone(), tape[..., :earlier].clone()
    return signals, history, ids


def rows(batch, chosen):
    """Some rows of a batch."""
    signals, history, ids = batch
    return (
        {name: signal[chosen] for name, signal in signals.items()},
        {name: past[chosen] for name, past in history.items()},
        ids[chosen],
    )


def flat(labels: FaultLabels) -> dict[str, torch.Tensor]:
    """All tensors of the labels by name."""
    found = {}
    for field in fields(labels):
        value = getattr(labels, field.name)
        parts = value if isinstance(value, dict) else {'': value}
        found |= {f'{field.name} {name}': part for name, part in parts.items()}
    return found


def same(one: torch.Tensor, other: torch.Tensor) -> bool:
    """Whether two tensors hold the same numbers of the same type, NaN equal to NaN."""
    return one.dtype == other.dtype and torch.equal(one.nan_to_num(-9.0), other.nan_to_num(-9.0))
