"""Checks of the data of a fit that need no training: windows of each split, sizes, calibration."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from lipfault.errors import LipfaultError

HANDFUL = 100
"""Windows of a split below which a warning is given: a share of them has a standard error of up to
5 %."""


class SplitSource(Protocol):
    """What the checks use of `lipfault.data.datamodule.RecordingDataModule`."""

    train_split: str
    val_split: str
    test_split: str

    @property
    def split_ids(self) -> Mapping[str, Sequence[str]]:
        """Return the ids of the episodes of each split."""

    def count(self, split: str) -> int:
        """Count the windows without a missing sample of one split.

        Args:
            split: Name of the split.

        Returns:
            Number of windows.
        """


class FitData(SplitSource, Protocol):
    """What a fit derives its settings from, see `SplitSource`."""

    @property
    def batch_size(self) -> int:
        """Return the windows in a batch, on each device."""

    @property
    def settings(self) -> dict[str, Any]:
        """Return the values of the settings that may be derived from the recordings."""


def small_splits(data: SplitSource) -> list[str]:
    """Describe the splits in use that have a handful of windows.

    Args:
        data: The DataModule.

    Returns:
        One line for each such split.

    Raises:
        LipfaultError: If training or validation has no window.
    """
    lines = []
    for split in dict.fromkeys((data.train_split, data.val_split, data.test_split)):
        if split not in data.split_ids:
            if split == data.test_split:  # a fit does not read it
                continue
            raise LipfaultError(f'there is no split {split!r}; splits are {sorted(data.split_ids)}')
        count, episodes = data.count(split), len(data.split_ids[split])
        if not count:
            raise LipfaultError(
                f'split {split!r} has {_episodes(episodes)} and no window without a missing '
                'sample; enlarge its share in data.splits, or shorten data.window_s'
            )
        if count < HANDFUL:
            lines.append(
                f'split {split!r} has only {_windows(count)} of {_episodes(episodes)}: its '
                'metrics are uncertain'
            )
    return lines


def require_calibration(data: SplitSource, rate: float, stride_s: float, limit: int | None) -> None:
    """Require enough calibration windows for a false alarm rate.

    Args:
        data: The DataModule.
        rate: False alarm rate, in (0, 1).
        stride_s: Distance between two windows in seconds.
        limit: Most windows that a validation reads, if it is limited.

    Raises:
        LipfaultError: If there are too few windows, with the settings that fit.
    """
    needed = math.ceil(round(1 / rate, 9)) - 1
    found = data.count(data.val_split)
    if limit is not None and limit < needed <= found:
        raise LipfaultError(
            f'trainer.limit_val_batches leaves {limit} calibration windows, and '
            f'config.false_alarm_rate={rate:g} needs at least {needed}'
        )
    if found >= needed:
        return
    fitting = math.ceil(1000 / (found + 1)) / 1000
    raise LipfaultError(
        f'split {data.val_split!r} has {_windows(found)} of '
        f'{_episodes(len(data.split_ids[data.val_split]))}, and model.config.false_alarm_rate='
        f'{rate:g} needs at least {needed} to calibrate: set model.config.false_alarm_rate to '
        f'{fitting:g} or more, data.stride_s to {stride_s * found / needed:.3g} or less, '
        'or give the split a larger share in data.splits'
    )


def _windows(count: int) -> str:
    return f'{count} window' + 's' * (count != 1)


def _episodes(count: int) -> str:
    return f'{count} episode' + 's' * (count != 1)
