"""Samplers and loaders that share the windows of a split among processes."""

import math
from collections.abc import Callable, Iterator
from typing import Any

from torch.utils.data import DataLoader, Dataset
from torch.utils.data.distributed import DistributedSampler

from lipfault.data.window_batch import Windows


class TrainSampler(DistributedSampler[Windows]):
    """Shuffled windows as a function of (seed, epoch), with resumption inside an epoch.

    Batch k of all processes together holds the windows of batch k of a single process with their
    joint batch size.

    Args:
        dataset: The windows; must have a length.
        processes: Number of processes that share them.
        rank: Rank of this process.
        seed: Seed of the order.
        batch_size: Windows in a batch of this process.
        done: Function that returns the number of finished batches of the epoch, called when the
            epoch starts.
    """

    def __init__(
        self,
        dataset: Dataset[Windows],
        processes: int,
        rank: int,
        seed: int,
        batch_size: int,
        done: Callable[[], int],
    ) -> None:
        """Drop the few windows that do not divide evenly among the processes."""
        super().__init__(dataset, processes, rank, shuffle=True, seed=seed, drop_last=True)
        self.batch_size, self.done = batch_size, done

    def __iter__(self) -> Iterator[Any]:
        """Iterate over the indices of the rest of the epoch."""
        order = list(super().__iter__())
        return iter(order[self.done() * self.batch_size :])


class TrainLoader(DataLoader[Windows]):
    """Loader that starts its sampler at the first batch, not when the iterator is made.

    The trainer makes the iterator before it sets the epoch of a resumed run, and workers prefetch;
    a plain loader with workers would resume with the order of epoch 0.
    """

    def __iter__(self) -> Iterator[Any]:  # type: ignore[override]
        """Iterate over batches, from the first or from the position of the sampler."""
        # As a generator: nothing runs before the first `next`.
        yield from super().__iter__()

    def state_dict(self) -> dict[str, Any]:
        """Return an empty state: the position is in the progress of the trainer."""
        # The trainer takes the method as a sign that the loader resumes inside an epoch.
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Do nothing: there is no state.

        Args:
            state: Ignored.
        """


class EvaluationSampler(DistributedSampler[Windows]):
    """Whole batches in turn: all processes together form the batches of a single process.

    Metrics that depend on the composition of a batch are then the same for any number of
    processes. Where the batches do not divide evenly, the last processes repeat their first batch
    so that no process waits for another; `lipfault.tasks.distributed` counts each window once.

    Args:
        dataset: The windows; must have a length.
        processes: Number of processes that share them.
        rank: Rank of this process.
        batch_size: Windows in a batch.
        even: Whether all processes get the same number of batches.
    """

    def __init__(
        self,
        dataset: Dataset[Windows],
        processes: int,
        rank: int,
        batch_size: int,
        even: bool = True,
    ) -> None:
        """Assign batches to processes in turn."""
        super().__init__(dataset, processes, rank, shuffle=False)
        windows = len(dataset)  # type: ignore[arg-type]  # torch's Dataset declares no length
        count = math.ceil(windows / batch_size)
        batches = list(range(rank, count, processes))
        if even and len(batches) < math.ceil(count / processes):
            batches.append(batches[0] if batches else 0)
        starts = [batch * batch_size for batch in batches]
        self.order = [index for s in starts for index in range(s, min(s + batch_size, windows))]

    def __iter__(self) -> Iterator[Any]:
        """Iterate over the indices of the windows in the split."""
        return iter(self.order)

    def __len__(self) -> int:
        """Return the number of windows of this process, repetitions included."""
        return len(self.order)
