"""Fill in the labels of a batch."""

from collections.abc import Mapping

import torch
from torch import Tensor

from lipfault.faults.device import send, write_rows
from lipfault.faults.inject import Injected
from lipfault.faults.labels import FaultLabels
from lipfault.faults.plan import Plan


def blank(signals: Mapping[str, Tensor], plan: Plan, seconds: float) -> FaultLabels:
    """Labels of a plan of which nothing has touched a signal yet.

    Args:
        signals: Signals of the batch, in the plan's order.
        plan: What befalls the batch.
        seconds: Length of a window.
    """
    device = next(iter(signals.values())).device
    columns = plan.columns
    none = columns.kind < 0
    onset = (columns.begin * seconds).masked_fill(none, torch.nan)
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
    """Fill in what the injection touched.

    Args:
        labels: Labels to fill in.
        name: Name of the modality.
        index: Its place among the modalities.
        rows: (n,) int64, rows of the samples touched.
        injected: What became of them.
    """
    channels = injected.channels.expand(-1, labels.channels[name].shape[1])
    write_rows(labels.channels[name], rows, channels)
    write_rows(labels.mask[name], rows, injected.mask)
    write_rows(labels.damage[:, index], rows, injected.damage)
    write_rows(labels.present[name], rows, injected.present)
