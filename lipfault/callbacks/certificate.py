"""Writes `certificate.json` after a test: the fault gain matrix, the ledger and the trade-off."""

from pathlib import Path
from typing import Any

import lightning
import torch
from lightning.pytorch.utilities import rank_zero_only
from torch import Tensor, nn

from lipfault.batch import Batch
from lipfault.callbacks.run_recorder import write_json
from lipfault.callbacks.wording import Move, largest_move
from lipfault.errors import LipfaultError
from lipfault.lipschitz.fault_gain_matrix import (
    Box,
    FaultGain,
    attack,
    certify,
    entry,
    measure,
    worst,
)
from lipfault.lipschitz.gains.criteria import classify_gains
from lipfault.lipschitz.modulation.modulation import modulated
from lipfault.lipschitz.norms.layer_norms import InputSizes, linear_layers
from lipfault.lipschitz.norms.norms import certified_norm, exact_norm
from lipfault.modality import Signals
from lipfault.tasks.inputs import finite


class CertificateWriter(lightning.Callback):
    """Certifies a stage-2 model on faults of the first test loader.

    Args:
        samples: Injected faults per modality, the first ones of the split.
        attacked: How many of the worst of them the adversary starts from.
        steps: Ascent steps of the adversary.
    """

    def __init__(self, samples: int = 64, attacked: int = 4, steps: int = 10) -> None:
        """Nothing is collected yet."""
        self.samples, self.attacked, self.steps = samples, attacked, steps
        self._parts: dict[str, list[tuple[Signals, Signals]]] = {}

    def setup(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, stage: str
    ) -> None:
        """Refuse several processes: each would see only some of the faults.

        Raises:
            LipfaultError: If there are several.
        """
        if trainer.world_size > 1:
            raise LipfaultError(
                'certify runs in one process: add --trainer.devices 1 --trainer.strategy auto'
            )

    def on_test_batch_end(
        self,
        trainer: lightning.Trainer,
        pl_module: lightning.LightningModule,
        outputs: Any,  # noqa: ANN401
        batch: Batch,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Keep windows in which exactly one modality is faulty."""
        if dataloader_idx > 0 or batch.labels is None:
            return
        alone = batch.labels.modality.sum(dim=1) == 1
        for index, name in enumerate(batch.clean):
            kept = self._parts.setdefault(name, [])
            room = self.samples - sum(len(clean[name]) for clean, _ in kept)
            rows = (alone & batch.labels.modality[:, index]).nonzero().squeeze(1)[: max(0, room)]
            if len(rows):
                kept.append(tuple(_rows(s, rows) for s in (batch.clean, batch.observed)))  # type: ignore[arg-type]

    @rank_zero_only
    def on_test_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Compute and write."""
        if not all(hasattr(pl_module, part) for part in ('block', 'autoencoder')):
            raise LipfaultError('certify needs a stage-2 checkpoint, with a compute block')
        folder = Path(trainer.default_root_dir)
        with torch.inference_mode(False), torch.no_grad():
            write_json(folder / 'certificate.json', self.certificate(pl_module))

    def certificate(self, task: Any) -> dict[str, Any]:  # noqa: ANN401
        """Everything as plain types.

        Raises:
            LipfaultError: If a modality has no fault in the split, or the order of the figures is
                violated.
        """
        task.eval()
        faults = {name: self._faults_of(task, name) for name in task.description.modalities}
        sizes = InputSizes()
        handles = sizes.watch(task.block)
        paths = Paths(task, faults)
        matrix = {i: self._row(paths, i) for i in faults}
        for handle in handles:
            handle.remove()
        metrics = getattr(task, 'test_results', {}).get('metrics', {})
        return {
            'matrix': {
                i: {j: e.to_dict() for j, (e, _) in row.items()} for i, row in matrix.items()
            },
            'moves': {
                i: {j: m.to_dict() for j, (_, m) in row.items()} for i, row in matrix.items()
            },
            'plain': [m.sentence() for row in matrix.values() for _, m in row.values()],
            'ledger': ledger_rows(task.block, sizes.found),
            'tradeoff': {k: v for k, v in metrics.items() if k.split('/')[0] in _TRADEOFF},
            'settings': {
                'samples': self.samples,
                'attacked': self.attacked,
                'steps': self.steps,
                'units': 'standardized signals',
            },
        }

    def _faults_of(self, task: Any, name: str) -> tuple[Signals, Signals]:  # noqa: ANN401
        kept = self._parts.get(name)
        if not kept:
            raise LipfaultError(f'the test split has no fault on {name!r} alone to measure')
        clean, faulty = (
            {n: torch.cat([part[k][n] for part in kept]).clone() for n in kept[0][k]}
            for k in (0, 1)
        )
        # What is certified takes signals alone: a missing value is the middle of its range.
        modalities = task.description.modalities
        clean, faulty = (finite(task.autoencoder, s, modalities).signals for s in (clean, faulty))
        return clean, faulty

    def _row(self, paths: 'Paths', source: str) -> dict[str, tuple[FaultGain, Move]]:
        clean, faulty = paths.faults[source]
        gains = measure(paths.run, clean, faulty, source)
        row = {}
        for output in gains:
            index = worst(gains, output, self.attacked)
            starts = _rows(clean, index), _rows(faulty, index)
            found, signal = attack(paths.run, *starts, source, output, paths.box, self.steps)
            bound = paths.reach[output].gains[source]
            figures = entry(gains[output], found, bound, (source, output))
            moved = paths.moves(source, output), paths.moves(source, output, (starts[0], signal))
            modality = paths.task.description.modalities[output]
            row[output] = figures, largest_move(source, modality, moved, paths.width(output))
        return row


class Paths:
    """The path from observed to cleaned signals, standardized, with its range and bounds.

    Args:
        task: A stage-2 task in evaluation mode.
        faults: For each modality clean and faulty signals.
    """

    def __init__(self, task: Any, faults: dict[str, tuple[Signals, Signals]]) -> None:  # noqa: ANN401
        """Certify the path over the sensors' ranges, grown to hold all measured signals."""
        self.task, self.faults = task, faults
        signals = [s for pair in faults.values() for s in pair]
        self.box = physical_box(task, signals[0]).including(*signals)
        self.reach = certify(self.run, self.box, task)

    def run(self, signals: Signals) -> Signals:
        """Cleaned signals of observed ones."""
        corrected: Signals = self.task.block.impute(signals)
        return corrected

    def moves(self, source: str, output: str, pair: tuple[Signals, Tensor] | None = None) -> Tensor:
        """Root mean square change of each channel, (sample, channel), in physical units."""
        clean, faulty = self.faults[source]
        moved = faulty[source]
        if pair is not None:
            clean, moved = pair
        change = self.run(clean | {source: moved})[output] - self.run(clean)[output]
        return (change * self._scale(output)).flatten(2).square().mean(dim=2).sqrt()

    def width(self, output: str) -> Tensor:
        """What no root mean square change of a channel can exceed, (channel,), physical units."""
        reach = self.reach[output]
        width: Tensor = (reach.high - reach.low) * self._scale(output).double()
        return width[0].flatten(1).square().mean(dim=1).sqrt()

    def _scale(self, output: str) -> Tensor:
        scale: Tensor = self.task.autoencoder.standardize[output].scale
        return scale


def physical_box(task: Any, like: Signals) -> Box:  # noqa: ANN401
    """Range of each modality in standardized units, shaped (1, ...)."""
    ends = {n: task.autoencoder.limits(n) for n in task.description.modalities}
    low, high = ({n: e[i].expand_as(like[n][:1]) for n, e in ends.items()} for i in (0, 1))
    return Box(low, high)


def ledger_rows(module: nn.Module, sizes: dict[nn.Module, tuple[int, ...]]) -> list[dict[str, Any]]:
    """Norm, certificate, verdict, mode and target of every layer whose input size is known."""
    rules = {e.name: e.modulation for e in modulated(module)}
    rows = []
    for name, layer in linear_layers(module):
        size = sizes.get(layer)
        if size is None and not isinstance(layer, nn.Linear):
            continue
        largest = certified_norm(layer, size).value
        rule = rules.get(name)
        rows.append(
            {
                'layer': name,
                'norm': exact_norm(layer, size).value,
                'certificate': largest,
                'verdict': classify_gains(largest, 0.0),
                'mode': None if rule is None else rule.rule.mode,
                'target': None if rule is None else float(rule.kappa),
            }
        )
    return rows


_TRADEOFF = ('corrector', 'detector')


def _rows(signals: Signals, rows: Tensor) -> Signals:
    return {name: signal[rows] for name, signal in signals.items()}
