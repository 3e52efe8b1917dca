"""How processes share the windows of a split."""

import math
from collections.abc import Callable, Iterator
from typing import Any

from torch.utils.data import DataLoader
from torch.utils.data.distributed import DistributedSampler

from lipfault.data.window_batch import Windows
from lipfault.data.windows import WindowDataset


class TrainSampler(DistributedSampler[Windows]):
    """Shuffled windows, a function of (seed, epoch), from the place where an epoch was left.

    Batch k of all processes together holds the windows of batch k of one process with a batch as
    large as theirs together.

    Args:
        dataset: The windows.
        processes: How many processes share them.
        rank: Number of this process.
        seed: Seed of the order.
        batch_size: Windows in a batch of this process.
        done: Batches of the epoch that are done already, asked when the epoch starts.
    """

    def __init__(
        self,
        dataset: WindowDataset,
        processes: int,
        rank: int,
        seed: int,
        batch_size: int,
        done: Callable[[], int],
    ) -> None:
        """Leave out the few windows that not every process can have."""
        super().__init__(dataset, processes, rank, shuffle=True, seed=seed, drop_last=True)
        self.batch_size, self.done = batch_size, done

    def __iter__(self) -> Iterator[Any]:
        """The rest of the epoch."""
        order = list(super().__iter__())
        return iter(order[self.done() * self.batch_size :])


class TrainLoader(DataLoader[Windows]):
    """A loader that asks its sampler for the order only when the first batch is wanted.

    The trainer makes the iterator before it tells the sampler the epoch of a resumed run, and
    workers fetch ahead; a plain loader with workers would resume with the order of epoch 0.
    """

    def __iter__(self) -> Iterator[Any]:  # type: ignore[override]
        """Batches, from the first or from where the sampler starts."""
        yield from super().__iter__()

    def state_dict(self) -> dict[str, Any]:
        """Nothing: the place is in the progress of the trainer. Tells it that we can resume."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Nothing to load."""


class EvaluationSampler(DistributedSampler[Windows]):
    """Whole batches in turn: the batches of all processes are those of one process alone.

    Figures that depend on the make-up of a batch are then the same however many processes share
    the windows. Where the batches cannot be shared evenly, the last processes repeat their first
    batch, so that none waits for another; `lipfault.tasks.distributed` counts each window once.

    Args:
        dataset: The windows.
        processes: How many processes share them.
        rank: Number of this process.
        batch_size: Windows in a batch.
        even: Whether all processes get the same number of batches.
    """

    def __init__(
        self, dataset: WindowDataset, processes: int, rank: int, batch_size: int, even: bool = True
    ) -> None:
        """Deal the batches out."""
        super().__init__(dataset, processes, rank, shuffle=False)
        count = math.ceil(len(dataset) / batch_size)
        batches = list(range(rank, count, processes))
        if even and len(batches) < math.ceil(count / processes):
            batches.append(batches[0] if batches else 0)
        starts = [batch * batch_size for batch in batches]
        self.order = [
            place for s in starts for place in range(s, min(s + batch_size, len(dataset)))
        ]

    def __iter__(self) -> Iterator[Any]:
        """Places of the windows in the split."""
        return iter(self.order)

    def __len__(self) -> int:
        """Windows of this process, repeated ones included."""
        return len(self.order)
