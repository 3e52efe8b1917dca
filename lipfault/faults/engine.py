"""Batched, seeded, labelled injection of sensor faults."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from lipfault.faults.apply import apply_faults
from lipfault.faults.collection import (
    catalogue,
    held_out_faults,
    own_faults,
    require_fitting,
    unknown,
    weighted_kinds,
)
from lipfault.faults.config import SIDES, FaultConfig
from lipfault.faults.device import write_rows
from lipfault.faults.fault import AnyFault, Sensor, with_levels
from lipfault.faults.image.site import last_frames
from lipfault.faults.injected import Injected
from lipfault.faults.inputs import require_history, require_ids, require_nan, require_signals
from lipfault.faults.labelling import blank, drop_patterns, fill
from lipfault.faults.labels import FaultLabels
from lipfault.faults.patterns import PATTERNS
from lipfault.faults.plan import Plan
from lipfault.faults.planner import Planner
from lipfault.faults.sites import Gathered, Scale, Source, gather
from lipfault.modality import Modality


class FaultEngine:
    """Draw and apply faults to batches, each sample as a function of (seed, epoch, sample id).

    Args:
        modalities: The modalities by name.
        config: Settings of the engine.
        held_out: Whether to draw the kinds and patterns held out instead of the others; half of the
            faults are patterns where both are held out.
        scale: Strength by severity, a `SeverityScale`; without one a severity takes the kind's
            level of its number.

    Attributes:
        names: The kinds that the labels' indices stand for, the same for what is held out.

    Raises:
        LipfaultError: If the settings leave nothing to draw or name something unknown.

    Reference:
        Hendrycks & Dietterich 2019, Benchmarking neural network robustness to common corruptions
        and perturbations, https://arxiv.org/abs/1903.12261 (kinds with five severities);
        Michaelis et al. 2019, Benchmarking robustness in object detection,
        https://arxiv.org/abs/1907.07484 (images of any size)

    Example:
        >>> imu = Modality('imu', 'series', 100.0, ('x',), ('g',), (-2.0,), (2.0,), (0.01,))
        >>> engine = FaultEngine({'imu': imu}, FaultConfig(kinds={'bias': 1.0}, clean_share=0.0))
        >>> observed, labels = engine({'imu': torch.zeros(3, 1, 50)}, None, torch.arange(3))
        >>> labels.faulty.tolist()
        [True, True, True]
    """

    def __init__(
        self,
        modalities: Mapping[str, Modality],
        config: FaultConfig,
        held_out: bool = False,
        scale: Scale | None = None,
    ) -> None:
        """Check the settings and compute the weights."""
        self.modalities = dict(modalities)
        self.config = _held_out_config(config) if held_out else config
        kinds = weighted_kinds(self.config, held_out)
        own = own_faults([*(config.kinds or ()), *config.held_out])
        known = (*catalogue().values(), *own.values())
        self.names = tuple(fault.name for fault in known)
        self._faults = _with_own_levels(known, config.levels or {})
        self.scale = scale
        held = [] if held_out else held_out_faults(config)
        forbidden = frozenset(fault.name for fault in held)
        self._planner = Planner(
            self.modalities, self.config, kinds, self.names, held_out, forbidden
        )
        require_fitting(config, self.modalities.values())
        # Kinds that single faults of each modality have, whichever are drawn for a batch.
        self._drawn = {
            name: [fault for fault, weight in kinds.items() if weight and fault.fits(modality)]
            for name, modality in self.modalities.items()
        }
        self._sensors: dict[tuple[str, torch.device], Sensor] = {}

    def only_held_out(self) -> 'FaultEngine':
        """Return an engine that draws only what this one's configuration holds out.

        Returns:
            The engine, with the same `names`.
        """
        return FaultEngine(self.modalities, self.config, held_out=True, scale=self.scale)

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
                255 times their value.
            history: Samples directly before the window: series (batch, channel, steps), images
                (batch, frame, channel, height, width), float32 or uint8; modalities may be absent.
            sample_id: (batch,) int64.
            epoch: Epoch; 0 for validation and test.

        Returns:
            The observed signals, on the signals' device and of their dtypes (the same tensor where
            nothing is injected), and the labels.

        Raises:
            LipfaultError: If a signal belongs to an unknown modality, or a shape or a type does not
                fit; a kind that loses values needs a signal of floating point.
        """
        return self.apply(signals, history, self.plan(sample_id, epoch))

    def plan(self, sample_id: Tensor, epoch: int = 0) -> Plan:
        """Draw the faults of each sample.

        Args:
            sample_id: (batch,) int64 on the CPU.
            epoch: Epoch; 0 for validation and test.

        Returns:
            The plan of the batch.

        Raises:
            LipfaultError: If the ids are no integers, or of another shape.
        """
        return self._planner(require_ids(sample_id), epoch)

    @torch.no_grad()
    def apply(
        self, signals: Mapping[str, Tensor], history: Mapping[str, Tensor] | None, plan: Plan
    ) -> tuple[dict[str, Tensor], FaultLabels]:
        """Apply a plan to a batch, without gradients and without the host waiting for the device.

        Args:
            signals: Clean signals, as for a call.
            history: Samples directly before the window, as for a call.
            plan: Faults drawn for the batch.

        Returns:
            Observed signals and labels, as of a call.

        Raises:
            LipfaultError: If a signal belongs to an unknown modality or its shape does not fit.
        """
        require_signals(signals, self.modalities, len(plan.sample_id))
        require_history(history or {}, signals)
        observed = {name: signals[name] for name in self.modalities}
        labels = blank(observed, plan, self._seconds(signals))
        for name, signal in tuple(observed.items()):
            source = self._source(name, signal, (history or {}).get(name))
            require_nan(name, signal, self._drawn[name])
            found = self._gather(source, signals, plan)
            if found is not None:
                require_nan(name, signal, [fault for fault, _, _ in found.groups])
                injected = apply_faults(found.site, found.groups)
                observed[name] = put(signal, found.rows, injected)
                fill(labels, name, source.index, found.rows, injected)
        drop_patterns(labels)
        return observed, labels

    @torch.no_grad()
    def previous_frames(
        self, signals: Mapping[str, Tensor], history: Mapping[str, Tensor], plan: Plan
    ) -> dict[str, Tensor]:
        """Return the previous frame as observed, for each image with a history.

        A fault of a frame is on the previous one, too: what lasts (dirt, a frozen frame) is the
        same on both, what changes from frame to frame (noise) is drawn anew.

        Args:
            signals: Clean signals, as for `apply`.
            history: Samples directly before the window, as for `apply`.
            plan: Faults drawn for the batch.

        Returns:
            For each image (batch, channel, height, width) float32 in [0, 1].
        """
        frames = last_frames(history)
        # The series stay: a swap of cameras reads the other camera's previous frame.
        earlier = {**signals, **frames}
        observed = dict(frames)
        for name, frame in frames.items():
            source = self._source(name, frame, history[name][:, :-1], ago=1)
            found = self._gather(source, earlier, plan)
            if found is not None:
                observed[name] = put(frame, found.rows, apply_faults(found.site, found.groups))
        return observed

    def _gather(self, source: Source, signals: Mapping[str, Tensor], plan: Plan) -> Gathered | None:
        """Gather the faulty samples of one modality."""
        # In the plan's order: `signals` may have another one.
        signals = {name: signals[name] for name in self.modalities}
        share = self.config.largest_share
        return gather(source, signals, plan, self._faults, self.config.seed, share)

    def _source(self, name: str, signal: Tensor, past: Tensor | None, ago: int = 0) -> Source:
        """Return one modality of a batch."""
        index, sensor = tuple(self.modalities).index(name), self._sensor(name, signal)
        return Source(name, index, sensor, past, ago, self.scale, SIDES[self.config.sign])

    def _sensor(self, name: str, signal: Tensor) -> Sensor:
        """Return a modality's ranges on the signal's device; kept, since the copy waits for it."""
        key = (name, signal.device)
        if key not in self._sensors:
            self._sensors[key] = Sensor.of(self.modalities[name], signal.device)
        return self._sensors[key]

    def _seconds(self, signals: Mapping[str, Tensor]) -> float:
        """Return the length of the window: of its longest series, or one frame without series."""
        lengths = [
            signals[name].shape[-1] / modality.rate_hz
            for name, modality in self.modalities.items()
            if modality.kind == 'series'
        ]
        frames = [1 / modality.rate_hz for modality in self.modalities.values()]
        return max(lengths or frames)


def put(signal: Tensor, rows: Tensor, injected: Injected) -> Tensor:
    """Return a copy of a signal with faulty samples in some rows, in the signal's dtype.

    Args:
        signal: (batch, ...) any dtype; uint8 holds 255 times the value.
        rows: (n,) int64.
        injected: Result of the injection for these rows.

    Returns:
        (batch, ...) of the signal's dtype.
    """
    faulty = injected.observed
    if signal.dtype == torch.uint8:
        faulty = (faulty * 255).round()
    faulty = faulty.to(signal.dtype)
    if signal.dtype == torch.float64:  # float32 does not hold the bits outside the mask
        faulty = torch.where(injected.mask, faulty, signal.index_select(0, rows))
    # Where every row is faulty, all of them are overwritten.
    whole = torch.empty_like(signal) if len(rows) == len(signal) else signal.clone()
    write_rows(whole, rows, faulty)
    return whole


def _with_own_levels(
    faults: tuple[AnyFault, ...], levels: Mapping[str, Sequence[float]]
) -> tuple[AnyFault, ...]:
    """Return the kinds, those named with levels of the configuration."""
    names = [fault.name for fault in faults]
    for name in levels:
        if name not in names:
            raise unknown('fault in faults: levels:', name, names)
    return tuple(
        with_levels(fault, levels[fault.name]) if fault.name in levels else fault
        for fault in faults
    )


def _held_out_config(config: FaultConfig) -> FaultConfig:
    """Return the settings with the share of patterns that fits what is held out."""
    patterns = [name for name in config.held_out if name in PATTERNS]
    if not patterns:
        return replace(config, pattern_share=0.0)
    # Half of the faults if kinds are held out as well, all of them otherwise.
    share = 1.0 if len(patterns) == len(config.held_out) else 0.5
    return replace(config, pattern_share=share, patterns=None)
