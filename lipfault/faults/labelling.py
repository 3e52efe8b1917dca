"""Write the labels of a batch."""

from collections.abc import Mapping

import torch
from torch import Tensor

from lipfault.faults.device import send, write_rows
from lipfault.faults.injected import Injected
from lipfault.faults.labels import FaultLabels
from lipfault.faults.plan import Plan


def blank(signals: Mapping[str, Tensor], plan: Plan, seconds: float) -> FaultLabels:
    """Create the labels of a plan before any of its faults is applied.

    Args:
        signals: Signals of the batch, in the plan's order.
        plan: Faults drawn for the batch.
        seconds: Length of a window.

    Returns:
        Labels with kinds, severities, onsets and patterns; masks and damage are empty.
    """
    device = next(iter(signals.values())).device
    columns = plan.columns
    none = columns.kind < 0
    onset = (columns.begin * seconds).masked_fill(none, torch.nan)
    # One copy to the device for all three, (batch, 2 M + 1).
    whole = torch.cat([columns.kind, columns.severity, plan.pattern[:, None]], dim=1)
    count = columns.kind.shape[1]
    kind, severity, pattern = send(whole, device).tensor_split([count, 2 * count], dim=1)
    channels, mask, present = {}, {}, {}
    for name, signal in signals.items():
        shape = [*signal.shape]
        channels[name] = signal.new_zeros(shape[:2], dtype=torch.bool)
        shape[1] = 1 if signal.ndim == 4 else shape[1]
        mask[name] = signal.new_zeros(shape, dtype=torch.bool)
        present[name] = signal.new_ones(shape[:1], dtype=torch.bool)
    damage = torch.zeros(columns.kind.shape, device=device)
    return FaultLabels(
        kind >= 0,
        kind,
        severity,
        channels,
        mask,
        send(onset, device),
        damage,
        pattern[:, 0],
        present,
    )


def fill(labels: FaultLabels, name: str, index: int, rows: Tensor, injected: Injected) -> None:
    """Write the result of an injection into the labels; a sample it did not change is clean.

    Args:
        labels: Labels, changed in place.
        name: Name of the modality.
        index: Its column in the labels.
        rows: (n,) int64, rows of the affected samples.
        injected: Result of the injection for these samples.
    """
    channels = injected.channels.expand(-1, labels.channels[name].shape[1])
    write_rows(labels.channels[name], rows, channels)
    write_rows(labels.mask[name], rows, injected.mask)
    write_rows(labels.damage[:, index], rows, injected.damage)
    write_rows(labels.present[name], rows, injected.present)
    unchanged = ~injected.changed
    for column, clean in (
        (labels.modality, False),
        (labels.kind, -1),
        (labels.severity, 0),
        (labels.onset, torch.nan),
    ):
        own = column[:, index]
        write_rows(own, rows, own.index_select(0, rows).masked_fill(unchanged, clean))


def drop_patterns(labels: FaultLabels) -> None:
    """Remove the pattern of samples in which no fault changed anything.

    Args:
        labels: Labels, changed in place.
    """
    if labels.pattern is not None:
        labels.pattern = labels.pattern.masked_fill(~labels.faulty, -1)
