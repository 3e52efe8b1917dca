"""Batched, seeded, labelled injection of sensor faults."""

from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor

from lipfault.errors import LipfaultError
from lipfault.faults.catalogue import catalogue, held_out_faults, own_faults, weighted_kinds
from lipfault.faults.config import FaultConfig
from lipfault.faults.device import write_rows
from lipfault.faults.fault import AnyFault, Sensor
from lipfault.faults.image.site import last_frames
from lipfault.faults.inject import Injected, inject
from lipfault.faults.labelling import blank, fill
from lipfault.faults.labels import FaultLabels
from lipfault.faults.patterns import PATTERNS
from lipfault.faults.plan import Plan
from lipfault.faults.planner import Planner
from lipfault.faults.sites import Gathered, Source, gather
from lipfault.modality import Modality


class FaultEngine:
    """Draws and applies faults to batches, each sample by (seed, epoch, sample id) alone.

    Args:
        modalities: The modalities by name.
        config: The settings.
        held_out: Draw the kinds and patterns held out instead of the others; half of the faults
            are patterns where both are held out.

    Attributes:
        names: The kinds that the labels' indices stand for, the same for what is held out.

    Raises:
        LipfaultError: If the settings leave nothing to draw or name something unknown.
    """

    def __init__(
        self, modalities: Mapping[str, Modality], config: FaultConfig, held_out: bool = False
    ) -> None:
        """Check the settings and work the weights out."""
        self.modalities = dict(modalities)
        self.config = _of_held_out(config) if held_out else config
        kinds = weighted_kinds(self.config, held_out)
        own = own_faults([*(config.kinds or ()), *config.held_out])
        self._faults: tuple[AnyFault, ...] = (*catalogue().values(), *own.values())
        self.names = tuple(fault.name for fault in self._faults)
        held = [] if held_out else held_out_faults(config)
        forbidden = frozenset(fault.name for fault in held)
        self._planner = Planner(
            self.modalities, self.config, kinds, self.names, held_out, forbidden
        )
        self._sensors: dict[tuple[str, torch.device], Sensor] = {}

    def only_held_out(self) -> 'FaultEngine':
        """The engine that draws only what is held out of this one's configuration."""
        return FaultEngine(self.modalities, self.config, held_out=True)

    def __call__(
        self,
        signals: Mapping[str, Tensor],
        history: Mapping[str, Tensor] | None,
        sample_id: Tensor,
        epoch: int = 0,
    ) -> tuple[dict[str, Tensor], FaultLabels]:
        """Inject faults into a batch.

        If `sample_id` is on a GPU, the host waits for it; keep it on the CPU to avoid that.

        Args:
            signals: Clean signals by modality, see `lipfault.batch.Signals`; uint8 images are
                taken as 255 times their value.
            history: What came directly before: series (batch, channel, steps), images
                (batch, frame, channel, height, width), float32 or uint8; modalities may be absent.
            sample_id: (batch,) int64.
            epoch: Epoch; 0 for validation and test.

        Returns:
            The observed signals, on the signals' device and of their dtypes (the same tensor
            where nothing happened), and the labels.

        Raises:
            LipfaultError: If a signal is of an unknown modality or its shape does not fit.
        """
        return self.apply(signals, history, self.plan(sample_id.cpu(), epoch))

    def plan(self, sample_id: Tensor, epoch: int = 0) -> Plan:
        """Draw what befalls each sample; `sample_id` is (batch,) int64 on the CPU."""
        return self._planner(sample_id, epoch)

    @torch.no_grad()
    def apply(
        self, signals: Mapping[str, Tensor], history: Mapping[str, Tensor] | None, plan: Plan
    ) -> tuple[dict[str, Tensor], FaultLabels]:
        """Apply a plan to a batch, without the host waiting for the device; no gradient flows."""
        self._check(signals, plan)
        observed = {name: signals[name] for name in self.modalities}
        labels = blank(observed, plan, self._seconds(signals))
        for index, (name, signal) in enumerate(tuple(observed.items())):
            source = Source(name, index, self._sensor(name, signal), (history or {}).get(name))
            found = self._gather(source, signals, plan)
            if found is not None:
                injected = inject(found.site, found.groups)
                observed[name] = put(signal, found.rows, injected)
                fill(labels, name, index, found.rows, injected)
        return observed, labels

    @torch.no_grad()
    def before(
        self, signals: Mapping[str, Tensor], history: Mapping[str, Tensor], plan: Plan
    ) -> dict[str, Tensor]:
        """The frame before the window's as the sensor showed it, of each image with a history.

        A fault that befalls a frame has befallen the one before it, too: what lasts (dirt, a frozen
        frame) is the same on both, what changes from frame to frame (noise) is drawn anew.

        Args:
            signals: Clean signals, as for `apply`.
            history: What came directly before, as for `apply`.
            plan: What befalls the batch.

        Returns:
            (batch, channel, height, width) float32 in [0, 1].
        """
        frames, names = last_frames(history), tuple(self.modalities)
        earlier = {**signals, **frames}
        shown = dict(frames)
        for name, frame in frames.items():
            sensor = self._sensor(name, frame)
            source = Source(name, names.index(name), sensor, history[name][:, :-1], ago=1)
            found = self._gather(source, earlier, plan)
            if found is not None:
                shown[name] = put(frame, found.rows, inject(found.site, found.groups))
        return shown

    def _gather(self, source: Source, signals: Mapping[str, Tensor], plan: Plan) -> Gathered | None:
        share = self.config.largest_share
        return gather(source, signals, plan, self._faults, self.config.seed, share)

    def _sensor(self, name: str, signal: Tensor) -> Sensor:
        key = (name, signal.device)
        if key not in self._sensors:
            self._sensors[key] = Sensor.of(self.modalities[name], signal.device)
        return self._sensors[key]

    def _seconds(self, signals: Mapping[str, Tensor]) -> float:
        """Length of the window: of its longest series, or one frame where there is none."""
        lengths = [
            signals[name].shape[-1] / modality.rate_hz
            for name, modality in self.modalities.items()
            if modality.kind == 'series'
        ]
        frames = [1 / modality.rate_hz for modality in self.modalities.values()]
        return max(lengths or frames)

    def _check(self, signals: Mapping[str, Tensor], plan: Plan) -> None:
        if set(signals) != set(self.modalities):
            raise LipfaultError(
                f'faults: the signals must be of the modalities {sorted(self.modalities)}, '
                f'got {sorted(signals)}'
            )
        for name, modality in self.modalities.items():
            shape, ndim = tuple(signals[name].shape), 3 if modality.kind == 'series' else 4
            expected = (len(plan.sample_id), len(modality.channels))
            if len(shape) != ndim or shape[:2] != expected:
                raise LipfaultError(
                    f'faults: {name!r} must have {ndim} dimensions and begin with {expected}, '
                    f'got shape {shape}'
                )


def put(signal: Tensor, rows: Tensor, injected: Injected) -> Tensor:
    """A copy of a signal with faulty samples in some rows, in the signal's dtype.

    Args:
        signal: (batch, ...) any dtype; uint8 holds 255 times the value.
        rows: (n,) int64.
        injected: What became of the rows.
    """
    faulty = injected.observed
    if signal.dtype == torch.uint8:
        faulty = (faulty * 255).round()
    faulty = faulty.to(signal.dtype)
    if signal.dtype == torch.float64:  # float32 does not hold the bits outside the mask
        faulty = torch.where(injected.mask, faulty, signal.index_select(0, rows))
    whole = torch.empty_like(signal) if len(rows) == len(signal) else signal.clone()
    write_rows(whole, rows, faulty)
    return whole


def _of_held_out(config: FaultConfig) -> FaultConfig:
    """The settings with the share of patterns that fits what is held out."""
    patterns = [name for name in config.held_out if name in PATTERNS]
    if not patterns:
        return replace(config, pattern_share=0.0)
    share = 1.0 if len(patterns) == len(config.held_out) else 0.5
    return replace(config, pattern_share=share, patterns=None)
