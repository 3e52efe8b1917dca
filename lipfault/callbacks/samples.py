"""Pictures of samples in the middle of training, to see what the numbers mean."""

from pathlib import Path
from typing import Any

import lightning
import matplotlib
import torch
from lightning.pytorch.utilities import rank_zero_only
from torch import Tensor

from lipfault.batch import Batch
from lipfault.callbacks.observer import Observer
from lipfault.callbacks.run_recorder import report_arrays
from lipfault.errors import LipfaultError
from lipfault.report.results import NothingToShow, Results
from lipfault.report.sections import draw_samples
from lipfault.report.style import RC
from lipfault.runs.atomic import replacing
from lipfault.tasks.clean_windows import recording_data
from lipfault.tasks.examples import clean_examples, fault_examples
from lipfault.tracking.stage_logger import StageLogger


class SampleMonitor(Observer):
    """Draws the same few validation windows every so many steps, `samples/*.png` of the run folder.

    Stage 2 shows them with their faults and what became of them, stage 1 with their
    reconstructions. Where the run logs to W&B, the pictures are sent as `samples/pictures`, and
    `samples/table` says of each sample which share is `left`: of the fault's energy after the
    correction, in stage 1 of the signal's energy after the reconstruction (standardized units).

    Args:
        every: Optimizer steps between two looks.
        windows: Validation windows, evenly spread, among which samples are chosen.
    """

    local = False

    def __init__(self, every: int = 500, windows: int = 96) -> None:
        """Keep cadence and number.

        Raises:
            LipfaultError: If either is not positive.
        """
        super().__init__(every)
        if windows < 1:
            raise LipfaultError(f'windows: must be at least 1, got {windows}')
        self.windows = windows

    def look(self, pl_module: lightning.LightningModule, batch: Any) -> dict[str, float]:  # noqa: ANN401
        """Draw and send; no metrics of its own."""
        trainer, task = pl_module.trainer, pl_module
        arrays = examples_of(task, self._probe(trainer, task.device))
        self._publish(trainer, task, arrays)
        return {}

    def _probe(self, trainer: lightning.Trainer, device: torch.device) -> Batch:
        """The same windows at every look, with the faults of validation."""
        data = recording_data(trainer)
        dataset = data.dataset(data.val_split)
        count = min(self.windows, len(dataset))
        places = torch.linspace(0, len(dataset) - 1, count).long().tolist()
        windows = dataset.fetch(places).to(device)
        return data.faulty_batch(windows) if data.has_faults else data.clean_batch(windows)

    @rank_zero_only
    def _publish(self, trainer: lightning.Trainer, task: Any, arrays: dict[str, Any]) -> None:  # noqa: ANN401
        step = trainer.global_step - 1
        modalities = task.description.modalities
        results = Results(report_arrays(modalities, recording_data(trainer).kinds, arrays))
        folder = Path(trainer.default_root_dir) / 'samples'
        pictures, rows = {}, []
        for name in modalities:
            file = folder / f'{name}-{step:06d}.png'
            if draw(results, name, file):
                pictures[name] = file
                rows += [[step, name, *row] for row in table(task.autoencoder, results, name)]
        for logger in trainer.loggers:
            if isinstance(logger, StageLogger) and pictures:
                logger.log_samples(pictures, rows, step)


def examples_of(task: Any, batch: Batch) -> dict[str, Any]:  # noqa: ANN401
    """Samples of a batch as the report reads them, by key; with faults only those that show."""
    if batch.labels is None or not hasattr(task, 'block'):
        return clean_examples(task.autoencoder, batch)
    kept: dict[str, Any] = {}
    fault_examples(kept, task.block, batch, task.description.modalities)
    return kept


def draw(results: Results, name: str, file: Path) -> bool:
    """Draw the samples of a modality into a PNG file; false if there are none."""
    try:
        with matplotlib.rc_context(RC):
            figure = draw_samples(results, name)
            with replacing(file, overwrite=True) as temporary:
                figure.savefig(temporary, format='png')
    except NothingToShow:
        return False
    return True


def table(autoencoder: Any, results: Results, name: str) -> list[tuple[str, int, float]]:  # noqa: ANN401
    """Kind, severity and share left of each sample of a modality."""
    examples = results.examples(name)

    def standardized(signal: Any) -> Tensor:  # noqa: ANN401
        device = next(autoencoder.parameters()).device
        moved: Tensor = autoencoder.standardized({name: torch.as_tensor(signal).to(device)})[name]
        return moved.double()

    clean = standardized(examples.clean)
    if examples.faulty is None or examples.cleaned is None:
        all_of_it, left = clean, standardized(examples.corrected) - clean
    else:
        all_of_it = standardized(examples.faulty) - clean
        left = standardized(examples.cleaned) - clean
    energies = [x.flatten(1).square().nansum(dim=1) for x in (left, all_of_it)]
    shares = (energies[0] / energies[1].clamp_min(1e-12)).tolist()
    kinds = [results.kinds[k] if k >= 0 else '' for k in examples.kind]
    severities = [max(0, int(s)) for s in examples.severity]
    return list(zip(kinds, severities, shares, strict=True))
