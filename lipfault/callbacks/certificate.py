"""Write `certificate.json` after a test: fault gain matrix, ledger of layers, and trade-off."""

import time
from pathlib import Path
from typing import Any

import torch
from lightning import Callback, LightningModule, Trainer
from lightning.pytorch.utilities import rank_zero_info, rank_zero_only
from torch import Tensor, nn

from lipfault.batch import Batch
from lipfault.callbacks.output_change import OutputChange, largest_output_change
from lipfault.callbacks.remaining_time import RemainingTime, spoken
from lipfault.callbacks.run_recorder import write_json
from lipfault.domains import Count, CountOrZero, validated
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

_TRADEOFF = ('corrector', 'detector')


@validated
class CertificateWriter(Callback):
    """Certify a stage-2 model on the faults of the first test loader.

    The fault gain matrix has a measured, an adversarial and a certified gain for each pair of
    faulty and corrected modality (docs/theory.md, section 7).

    Args:
        samples: Injected faults per modality, the first ones of the split.
        attacked: Number of the worst faults from which the adversary starts.
        steps: Gradient ascent steps of the adversary.

    Reference:
        Virmaux & Scaman, Lipschitz regularity of deep neural networks, 2018:
        https://arxiv.org/abs/1805.10965
        Madry et al., Towards deep learning models resistant to adversarial attacks, 2018:
        https://arxiv.org/abs/1706.06083
    """

    def __init__(self, samples: Count = 64, attacked: Count = 4, steps: CountOrZero = 10) -> None:
        """Keep the settings."""
        self.samples, self.attacked, self.steps = samples, attacked, steps
        # By modality, (clean, faulty) signals of the windows in which it alone is faulty.
        self._parts: dict[str, list[tuple[Signals, Signals]]] = {}

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Refuse several processes, since each would hold only a part of the faults.

        Args:
            trainer: The trainer.
            pl_module: The task.
            stage: `fit`, `validate`, `test` or `predict`.

        Raises:
            LipfaultError: If there are several processes.
        """
        if trainer.world_size > 1:
            raise LipfaultError(
                'certify runs in one process: add --trainer.devices 1 --trainer.strategy auto'
            )

    def on_test_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: object, batch: Batch, *idx: int
    ) -> None:
        """Keep the windows in which exactly one modality is faulty.

        Args:
            trainer: The trainer.
            pl_module: A stage-2 task.
            outputs: Not used.
            batch: Test batch; one without labels is skipped.
            idx: Indices of the batch and of the test split; only the first split is used.
        """
        # Lightning omits the index of the loader if there is only one.
        if any(idx[1:]) or batch.labels is None:
            return
        alone = batch.labels.modality.sum(dim=1) == 1
        for column, name in enumerate(batch.clean):
            kept = self._parts.setdefault(name, [])
            room = self.samples - sum(len(clean[name]) for clean, _ in kept)
            rows = (alone & batch.labels.modality[:, column]).nonzero().squeeze(1)[: max(0, room)]
            if len(rows):
                kept.append(tuple(_rows(s, rows) for s in (batch.clean, batch.observed)))  # type: ignore[arg-type]

    @rank_zero_only
    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Compute the certificate and write it.

        Args:
            trainer: The trainer.
            pl_module: A stage-2 task.

        Raises:
            LipfaultError: If the task has no compute block.
        """
        if not all(hasattr(pl_module, part) for part in ('block', 'autoencoder')):
            raise LipfaultError('certify needs a stage-2 checkpoint, with a compute block')
        folder = Path(trainer.default_root_dir)
        # Inference tensors cannot take part in the gradients of the adversary.
        with torch.inference_mode(False), torch.no_grad():
            write_json(folder / 'certificate.json', self.certificate(pl_module))

    def certificate(self, task: Any) -> dict[str, Any]:  # noqa: ANN401
        """Compute the certificate on the windows kept so far.

        Args:
            task: A stage-2 task; it is left in evaluation mode.

        Returns:
            Plain types: `matrix` and `output_changes` by faulty and corrected modality,
            `statements`, `ledger`, `tradeoff` and `settings`.

        Raises:
            LipfaultError: If a modality has no fault in the split, or a gain exceeds its bound.
        """
        task.eval()
        faults = {name: self._faults_of(task, name) for name in task.description.modalities}
        sizes = InputSizes()
        handles = sizes.watch(task.block)
        matrix = self._matrix(task, faults)
        for handle in handles:
            handle.remove()
        metrics = getattr(task, 'test_results', {}).get('metrics', {})
        return {
            'matrix': {
                i: {j: gain.to_dict() for j, (gain, _) in row.items()} for i, row in matrix.items()
            },
            'output_changes': {
                i: {j: change.to_dict() for j, (_, change) in row.items()}
                for i, row in matrix.items()
            },
            'statements': [c.statement() for row in matrix.values() for _, c in row.values()],
            'ledger': ledger_rows(task.block, sizes.found),
            'tradeoff': {k: v for k, v in metrics.items() if k.split('/')[0] in _TRADEOFF},
            'settings': {
                'samples': self.samples,
                'attacked': self.attacked,
                'steps': self.steps,
                'units': 'standardized signals',
            },
        }

    def _matrix(
        self,
        task: Any,  # noqa: ANN401
        faults: dict[str, tuple[Signals, Signals]],
    ) -> dict[str, dict[str, tuple[FaultGain, OutputChange]]]:
        """Return gains and output changes by faulty and corrected modality, and log the time."""
        rest = RemainingTime(len(faults), self.samples, self.attacked, self.steps)
        clean = _rows(next(iter(faults.values()))[0], torch.arange(1))
        ahead = rest.from_pass(lambda: task.block.impute(clean), 1)
        rank_zero_info(
            f'certify: about {spoken(ahead)} for {len(faults)} modalities, after the bounds from '
            'the sensor ranges to the outputs; --quick takes fewer faults'
        )
        begin = time.monotonic()
        paths = Paths(task, faults)
        attacked = time.monotonic()
        rank_zero_info(f'certify: the bounds took {spoken(attacked - begin)}')
        matrix = {}
        for number, source in enumerate(faults, start=1):
            rank_zero_info(f'certify: attack {source} ({number} of {len(faults)} modalities)')
            matrix[source] = self._row(paths, source)
            if number < len(faults):
                left = rest.after(number, time.monotonic() - attacked)
                rank_zero_info(f'certify: about {spoken(left)} to go')
        return matrix

    def _faults_of(self, task: Any, name: str) -> tuple[Signals, Signals]:  # noqa: ANN401
        """Return clean and faulty standardized signals of the windows with a fault of `name`."""
        kept = self._parts.get(name)
        if not kept:
            raise LipfaultError(f'the test split has no fault on {name!r} alone to measure')
        clean, faulty = (
            {n: torch.cat([part[k][n] for part in kept]).clone() for n in kept[0][k]}
            for k in (0, 1)
        )
        # The certified map has signals as its only inputs, no masks of missing values: a missing
        # value becomes the middle of its range.
        modalities = task.description.modalities
        clean, faulty = (finite(task.autoencoder, s, modalities).signals for s in (clean, faulty))
        return clean, faulty

    def _row(self, paths: 'Paths', source: str) -> dict[str, tuple[FaultGain, OutputChange]]:
        """Return gain and output change by faults of `source` for each corrected modality."""
        clean, faulty = paths.faults[source]
        gains = measure(paths.run, clean, faulty, source)
        row = {}
        for output in gains:
            index = worst(gains, output, self.attacked)
            starts = _rows(clean, index), _rows(faulty, index)
            found, signal = attack(paths.run, *starts, source, output, paths.box, self.steps)
            bound = paths.reach[output].gains[source]
            gain = entry(gains[output], found, bound, (source, output))
            changes = (
                paths.rms_change(source, output),
                paths.rms_change(source, output, (starts[0], signal)),
            )
            modality = paths.task.description.modalities[output]
            width = paths.largest_rms_change(output)
            row[output] = gain, largest_output_change(source, modality, changes, width)
        return row


class Paths:
    """The map from observed to corrected signals, standardized, with its input box and bounds.

    Args:
        task: A stage-2 task in evaluation mode.
        faults: For each modality clean and faulty signals.
    """

    def __init__(self, task: Any, faults: dict[str, tuple[Signals, Signals]]) -> None:  # noqa: ANN401
        """Certify the map over the sensor ranges, extended to contain all measured signals."""
        self.task, self.faults = task, faults
        signals = [s for pair in faults.values() for s in pair]
        self.box = physical_box(task, signals[0]).including(*signals)
        self.reach = certify(self.run, self.box, task)

    def run(self, signals: Signals) -> Signals:
        """Return the corrected signals of observed ones.

        Args:
            signals: Standardized observed signals by modality.

        Returns:
            Standardized corrected signals of the same shapes.
        """
        corrected: Signals = self.task.block.impute(signals)
        return corrected

    def rms_change(
        self, source: str, output: str, pair: tuple[Signals, Tensor] | None = None
    ) -> Tensor:
        """Compute the RMS change of each corrected channel by faults of one modality.

        Args:
            source: The faulty modality.
            output: The corrected modality.
            pair: Clean signals and faulty signal of `source`; by default the injected faults.

        Returns:
            (sample, channel), physical units.
        """
        clean, faulty = self.faults[source]
        signal = faulty[source]
        if pair is not None:
            clean, signal = pair
        change = self.run(clean | {source: signal})[output] - self.run(clean)[output]
        # (sample, channel, time) or (sample, channel, height, width)
        return (change * self._scale(output)).flatten(2).square().mean(dim=2).sqrt()

    def largest_rms_change(self, output: str) -> Tensor:
        """Compute the upper bound of the RMS change of each channel.

        Args:
            output: The corrected modality.

        Returns:
            (channel,), physical units, float64.
        """
        reach = self.reach[output]
        width: Tensor = (reach.high - reach.low) * self._scale(output).double()
        return width[0].flatten(1).square().mean(dim=1).sqrt()

    def _scale(self, output: str) -> Tensor:
        """Return the standard deviation by which a modality is standardized, physical units."""
        scale: Tensor = self.task.autoencoder.standardize[output].scale
        return scale


def physical_box(task: Any, like: Signals) -> Box:  # noqa: ANN401
    """Return the physical range of each modality in standardized units.

    Args:
        task: A stage-2 task.
        like: Signals whose shapes the box takes.

    Returns:
        Lower and upper ends, shaped (1, ...).
    """
    ends = {n: task.autoencoder.limits(n) for n in task.description.modalities}
    low, high = ({n: e[i].expand_as(like[n][:1]) for n, e in ends.items()} for i in (0, 1))
    return Box(low, high)


def ledger_rows(module: nn.Module, sizes: dict[nn.Module, tuple[int, ...]]) -> list[dict[str, Any]]:
    """List norm, certificate, verdict, mode and target of every linear layer.

    Args:
        module: The compute block.
        sizes: Spatial input size of each convolution that was called.

    Returns:
        One row per dense layer, and per convolution with a known input size.
    """
    rules = {e.name: e.modulation for e in modulated(module)}
    rows = []
    for name, layer in linear_layers(module):
        size = sizes.get(layer)
        # The norm of a convolution depends on its input size.
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


def _rows(signals: Signals, rows: Tensor) -> Signals:
    return {name: signal[rows] for name, signal in signals.items()}
