"""Batched, seeded, labelled injection of sensor faults."""

from collections.abc import Mapping

import torch
from torch import Tensor

from lipfault.errors import LipfaultError
from lipfault.faults.catalogue import CATALOGUE, AnyFault
from lipfault.faults.config import FaultConfig, weighted_kinds
from lipfault.faults.draws import Draws
from lipfault.faults.fault import Site
from lipfault.faults.inject import Injected, image_site, inject, series_site
from lipfault.faults.labels import FaultLabels
from lipfault.faults.plan import Plan, Planner
from lipfault.faults.sensor import Sensor
from lipfault.modality import Modality


class FaultEngine:
    """Draws and applies faults to batches, each sample by (seed, epoch, sample id) alone.

    Args:
        modalities: The modalities by name.
        config: The settings.
        held_out: Draw the kinds held out instead of the others.

    Raises:
        LipfaultError: If the settings leave nothing to draw or name something unknown.
    """

    def __init__(
        self, modalities: Mapping[str, Modality], config: FaultConfig, held_out: bool = False
    ) -> None:
        self.modalities = dict(modalities)
        self.config = config
        kinds = weighted_kinds(config, held_out)
        own = {fault.name: fault for fault in kinds if fault.name not in CATALOGUE}
        self.faults: dict[str, AnyFault] = CATALOGUE | own
        self.names = tuple(self.faults)
        self._planner = Planner(self.modalities, config, kinds, self.names)
        self._sensors: dict[tuple[str, torch.device], Sensor] = {}

    def only_held_out(self) -> 'FaultEngine':
        """The engine that draws only the kinds held out of this one's configuration."""
        return FaultEngine(self.modalities, self.config, held_out=True)

    def __call__(
        self,
        signals: Mapping[str, Tensor],
        history: Mapping[str, Tensor] | None,
        sample_id: Tensor,
        epoch: int = 0,
    ) -> tuple[dict[str, Tensor], FaultLabels]:
        """Inject faults into a batch.

        On a GPU, `sample_id` is copied to the CPU, for which the host waits; to avoid that, call
        `plan` with the sample ids on the CPU, before the transfer, and then `apply`.

        Args:
            signals: Clean signals by modality, see `lipfault.batch.Signals`; uint8 images are
                taken as 255 times their value.
            history: What came directly before: series (batch, channel, steps), images
                (batch, frame, channel, height, width); modalities may be absent.
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

    def apply(
        self, signals: Mapping[str, Tensor], history: Mapping[str, Tensor] | None, plan: Plan
    ) -> tuple[dict[str, Tensor], FaultLabels]:
        """Apply a plan to a batch, without the host waiting for the device."""
        self._check(signals, plan)
        device = next(iter(signals.values())).device
        labels = _blank(self.modalities, signals, plan, self._seconds(signals), device)
        observed = dict(signals)
        for index, (name, modality) in enumerate(self.modalities.items()):
            order = _order(plan.kind[:, index])
            if not len(order):
                continue
            past = (history or {}).get(name)
            rows, site, groups = self._site(modality, index, signals[name], past, plan, order)
            injected = inject(site, groups)
            observed[name] = _put(signals[name], rows, injected.observed)
            _label(labels, name, index, rows, injected)
        return observed, labels

    def _site(
        self,
        modality: Modality,
        index: int,
        signal: Tensor,
        past: Tensor | None,
        plan: Plan,
        order: Tensor,
    ) -> tuple[Tensor, Site, list[tuple[AnyFault, int, int]]]:
        """Gather the faulty samples of a modality, sorted by kind, on the signal's device."""
        groups = self._groups(plan.kind[order, index])
        fewest = [fault.min_channels for fault, a, b in groups for _ in range(a, b)]
        when = _steps(plan, index, order, signal.shape[-1])
        packed = torch.stack([order, plan.sample_id[order], torch.tensor(fewest), *when])
        packed = send(packed, signal.device)
        rows, sample_id = packed[0], packed[1]
        draws = Draws.of(self.config.seed, plan.epoch, sample_id).stream(modality.name)
        sensor = self._sensor(modality, signal.device)
        clean = _float(signal.index_select(0, rows))
        before = _past(clean, None if past is None else past.index_select(0, rows))
        if modality.kind == 'image':
            return rows, image_site(sensor, clean, before, draws, packed[3]), groups
        share = self.config.largest_share
        site = series_site(sensor, clean, before, draws, packed[3:], share, packed[2])
        return rows, site, groups

    def _groups(self, kinds: Tensor) -> list[tuple[AnyFault, int, int]]:
        """The runs of equal kinds: fault, first sample, sample after the last."""
        values, counts = kinds.unique(return_counts=True)
        groups, start = [], 0
        for kind, count in zip(values.tolist(), counts.tolist(), strict=True):
            groups.append((self.faults[self.names[kind]], start, start + count))
            start += count
        return groups

    def _sensor(self, modality: Modality, device: torch.device) -> Sensor:
        key = (modality.name, device)
        if key not in self._sensors:
            self._sensors[key] = Sensor.of(modality, device)
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


def send(values: Tensor, device: torch.device) -> Tensor:
    """Copy a CPU tensor to a device without the host waiting for it."""
    if device.type == 'cuda':
        return values.pin_memory().to(device, non_blocking=True)
    return values.to(device)


def _order(kind: Tensor) -> Tensor:
    """(n,) int64 rows of the faulty samples, sorted by kind, then by row."""
    order = kind.argsort(stable=True)
    return order[int((kind < 0).sum()) :]


def _steps(plan: Plan, index: int, order: Tensor, steps: int) -> tuple[Tensor, ...]:
    """Severity, start, stop and horizon in steps; (n,) int64 each."""
    begin, end = plan.begin[order, index], plan.end[order, index]
    start = (begin * steps).floor().long()
    stop = (end * steps).ceil().long().maximum(start + 1)
    horizon = (stop.clamp_max(steps) - start).clamp_min(1)
    return plan.severity[order, index], start, stop, horizon


def _float(signal: Tensor) -> Tensor:
    return signal.float() / 255 if signal.dtype == torch.uint8 else signal.float()


def _past(clean: Tensor, past: Tensor | None) -> Tensor:
    if past is not None:
        return _float(past)
    if clean.ndim == 3:
        return clean[..., :0]
    return clean[:, None][:, :0]


def _put(signal: Tensor, rows: Tensor, faulty: Tensor) -> Tensor:
    """A copy of the signal with the faulty samples in their rows, in the signal's dtype."""
    if signal.dtype == torch.uint8:
        faulty = (faulty * 255).round()
    return signal.index_copy(0, rows, faulty.to(signal.dtype))


def _blank(
    modalities: Mapping[str, Modality],
    signals: Mapping[str, Tensor],
    plan: Plan,
    seconds: float,
    device: torch.device,
) -> FaultLabels:
    """Labels with the plan filled in, and nothing touched yet."""
    faulty = plan.kind >= 0
    onset = torch.where(faulty, plan.begin * seconds, torch.nan)
    kind, severity = send(torch.stack([plan.kind, plan.severity]), device)
    channels, mask = {}, {}
    for name, modality in modalities.items():
        shape = list(signals[name].shape)
        channels[name] = torch.zeros(shape[:2], dtype=torch.bool, device=device)
        if modality.kind == 'image':
            shape[1] = 1
        mask[name] = torch.zeros(shape, dtype=torch.bool, device=device)
    damage = torch.zeros(plan.kind.shape, device=device)
    return FaultLabels(
        kind >= 0, kind, severity, channels, mask, send(onset.float(), device), damage
    )


def _label(labels: FaultLabels, name: str, index: int, rows: Tensor, injected: Injected) -> None:
    """Fill in what the injection touched."""
    channels = injected.mask.flatten(2).any(-1).expand(-1, labels.channels[name].shape[1])
    labels.channels[name].index_copy_(0, rows, channels)
    labels.mask[name].index_copy_(0, rows, injected.mask)
    labels.damage[:, index].index_copy_(0, rows, injected.damage)
