"""Interfaces of what injects faults into batches: random draws or a schedule."""

from collections.abc import Mapping
from typing import Protocol

from torch import Tensor

from lipfault.faults.labels import FaultLabels
from lipfault.faults.plan import Plan


class FaultInjector(Protocol):
    """Random faults as a function of (seed, epoch, sample id): `lipfault.faults.engine`.

    Attributes:
        names: Kinds of faults that the indices of the labels refer to.
    """

    names: tuple[str, ...]

    def plan(self, sample_id: Tensor, epoch: int = 0) -> Plan:
        """Draw the faults of each sample.

        Args:
            sample_id: (batch,) int64 on the CPU, the key of each sample's draws.
            epoch: Epoch of the draws.

        Returns:
            The faults to apply, without their signals.
        """

    def apply(
        self, signals: Mapping[str, Tensor], history: Mapping[str, Tensor] | None, plan: Plan
    ) -> tuple[dict[str, Tensor], FaultLabels]:
        """Apply a plan to a batch.

        Args:
            signals: Clean signals by modality, (batch, ...).
            history: Samples directly before the window, by modality.
            plan: The drawn faults.

        Returns:
            Observed signals, and the ground truth of the faults.
        """

    def only_held_out(self) -> 'FaultInjector':
        """Return the injector of the kinds held out of training."""

    def previous_frames(
        self, signals: Mapping[str, Tensor], history: Mapping[str, Tensor], plan: Plan
    ) -> dict[str, Tensor]:
        """Apply a plan to the frame before the window's frame.

        Args:
            signals: The argument of `apply`.
            history: The argument of `apply`.
            plan: The argument of `apply`.

        Returns:
            (batch, channel, height, width) float32 in [0, 1], of each image with a history.
        """


class ScheduledFaults(Protocol):
    """Faults of a schedule in one episode: `lipfault.faults.scenario`."""

    def __call__(
        self,
        signals: Mapping[str, Tensor],
        history: Mapping[str, Tensor] | None,
        end_s: Tensor,
        episode: int | None = None,
    ) -> tuple[dict[str, Tensor], FaultLabels]:
        """Inject the scheduled faults.

        Args:
            signals: (batch, ...) clean signals by modality.
            history: Samples of each modality directly before its window, `None` without them.
            end_s: (batch,) float64, ends of the windows in seconds, ascending, on the CPU.
            episode: Position of the episode in the recordings; windows of another one than in the
                calls before are an error.

        Returns:
            Observed signals, and the ground truth of the faults.
        """

    def previous_frames(
        self, signals: Mapping[str, Tensor], history: Mapping[str, Tensor], end_s: Tensor
    ) -> dict[str, Tensor]:
        """Inject the scheduled faults into the frame before the window's frame.

        Args:
            signals: Clean signals, as in a call.
            history: Samples before the window; its last frames are the images to change.
            end_s: Ends of the windows, as in a call.

        Returns:
            For each image with a history, the faulty frame before the window's frame: (batch,
            channel, height, width) float32 in [0, 1].
        """
