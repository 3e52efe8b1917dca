"""Build batches from windows: unpacking, fault injection, preceding frames."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property

from torch import Tensor

from lipfault.batch import Batch
from lipfault.data.geometry import Geometry
from lipfault.data.injection import FaultInjector, ScheduledFaults
from lipfault.data.stillness import stillness
from lipfault.data.unpack import mask_missing_frames, unpack
from lipfault.data.window_batch import Windows
from lipfault.errors import LipfaultError
from lipfault.faults.image.site import last_frames
from lipfault.faults.labels import FaultLabels
from lipfault.modality import Signals


@dataclass(frozen=True)
class _View:
    """Signals of a batch with the frame before each image."""

    signals: Signals
    before: Mapping[str, Tensor]


class BatchBuilder:
    """Builder of batches from windows, for the DataModule or a training loop of one's own.

    A batch is built on the device of its windows. The faults of a window are a function of
    (seed, epoch, episode, end of the window), whatever the other windows and recordings.

    Args:
        geometry: Modalities and lengths of the windows.
        faults: Injector of random faults, a `FaultEngine` made from the modalities and a
            `FaultConfig`; `None` if only clean batches and scenarios are built.

    Example:
        One epoch of training without a trainer:

        ```python
        geometry = Geometry(recordings.modalities, window_s=1.0, stride_s=0.1, history_s=1.0)
        engine = FaultEngine(recordings.modalities, FaultConfig(seed=1))
        builder = BatchBuilder(geometry, engine)
        for windows in DataLoader(dataset, batch_size=128, shuffle=True, collate_fn=collate):
            batch = builder.faulty_batch(windows.to('cuda'), epoch=0)
        ```
    """

    def __init__(self, geometry: Geometry, faults: FaultInjector | None = None) -> None:
        """Store geometry and injector."""
        self.geometry = geometry
        self._faults = faults

    def clean_batch(self, windows: Windows, missing_as_nan: bool = False) -> Batch:
        """Build the batch as recorded.

        Args:
            windows: The windows, on any device.
            missing_as_nan: Whether the pixels of missing frames become NaN.

        Returns:
            The batch; observed and clean signals are the same tensors.
        """
        signals, history = self._unpack(windows, missing_as_nan)
        view = _View(signals, last_frames(history))
        return self._with_previous(windows, view, view, None)

    def faulty_batch(
        self,
        windows: Windows,
        epoch: int = 0,
        held_out: bool = False,
        missing_as_nan: bool = False,
    ) -> Batch:
        """Build the batch with random faults.

        Args:
            windows: The windows, on any device.
            epoch: Epoch of the draws.
            held_out: Whether to draw the kinds held out of training instead of the others.
            missing_as_nan: Whether the pixels of missing frames become NaN.

        Returns:
            The batch with the ground truth of its faults.

        Raises:
            LipfaultError: If there is no injector, or `held_out` is set and no kind is held out.
        """
        signals, history = self._unpack(windows, missing_as_nan)
        injector = self._held_out_injector if held_out else self._injector
        plan = injector.plan(windows.draw_key, epoch)
        observed, labels = injector.apply(signals, history, plan)
        # Persistent faults (dirt, a frozen frame) affect the preceding frame, too.
        before = injector.previous_frames(signals, history, plan)
        clean = _View(signals, last_frames(history))
        return self._with_previous(windows, clean, _View(observed, before), labels)

    def scenario_batch(self, windows: Windows, scenario: ScheduledFaults) -> Batch:
        """Build the batch with the faults of a schedule.

        Args:
            windows: Windows of one episode in order of time, on any device.
            scenario: Run of the schedule through this episode, a `FaultScenario`.

        Returns:
            The batch with the ground truth of its faults.

        Raises:
            LipfaultError: If the windows are of several episodes, of another one than before, or
                not in order.
        """
        episodes = sorted(set(windows.episode.tolist()))
        if len(episodes) > 1 or bool((windows.end_s.diff() < 0).any()):
            raise LipfaultError(
                'a scenario needs the windows of one episode in order of time, got windows of the '
                f'episodes {episodes} that end at {windows.end_s.tolist()} s'
            )
        signals, history = unpack(windows, self.geometry)
        observed, labels = scenario(signals, history, windows.end_s, int(windows.episode[0]))
        before = scenario.previous_frames(signals, history, windows.end_s)
        clean = _View(signals, last_frames(history))
        return self._with_previous(windows, clean, _View(observed, before), labels)

    @property
    def _injector(self) -> FaultInjector:
        """Injector of the kinds not held out."""
        if self._faults is None:
            raise LipfaultError('no faults are configured; set data.faults or pass a FaultEngine')
        return self._faults

    @cached_property
    def _held_out_injector(self) -> FaultInjector:
        """Injector of the kinds held out."""
        return self._injector.only_held_out()

    def _unpack(self, windows: Windows, missing_as_nan: bool) -> tuple[Signals, dict[str, Tensor]]:
        """Return signals and history."""
        signals, history = unpack(windows, self.geometry)
        if missing_as_nan:
            signals = mask_missing_frames(signals, windows.present)
        return signals, history

    def _with_previous(
        self, windows: Windows, clean: _View, observed: _View, labels: FaultLabels | None
    ) -> Batch:
        """Assemble the batch of clean and observed signals with the frames before."""
        modalities, present = self.geometry.modalities, windows.present_before
        before = mask_missing_frames(clean.before, present)
        still = stillness(clean.signals, before, modalities)
        observed_before, observed_still = before, still
        if observed is not clean:
            observed_before = mask_missing_frames(observed.before, present)
            observed_still = stillness(observed.signals, observed_before, modalities)
        return replace(
            _batch(windows, clean.signals, observed.signals, labels),
            stillness=observed_still,
            clean_stillness=still,
            previous=observed_before,
            clean_previous=before,
        )


def _batch(
    windows: Windows, clean: Signals, observed: Signals, labels: FaultLabels | None
) -> Batch:
    """Assemble a batch without the frames before, on the device of the signals."""
    device = next(iter(clean.values())).device
    sample_id = windows.sample_id.to(device, non_blocking=True)
    present = windows.present
    # A fault can remove a whole signal (a disconnected sensor).
    if labels is not None:
        present = {name: here & labels.present[name] for name, here in present.items()}
    return Batch(clean, observed, present, sample_id, labels)
