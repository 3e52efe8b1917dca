"""Monitor that draws example windows during training."""

from pathlib import Path
from typing import Any

import matplotlib
import torch
from lightning import LightningModule, Trainer
from lightning.pytorch.utilities import rank_zero_only
from torch import Tensor

from lipfault.batch import Batch
from lipfault.callbacks.observer import Observer
from lipfault.callbacks.run_recorder import report_arrays
from lipfault.domains import Count, validated
from lipfault.errors import LipfaultError
from lipfault.report.results import Array, NothingToShow, Results
from lipfault.report.sections import draw_samples
from lipfault.report.style import RC
from lipfault.runs.atomic import replacing
from lipfault.runs.names import file_name
from lipfault.tasks.clean_windows import recording_data
from lipfault.tasks.examples import clean_examples, fault_examples
from lipfault.tracking.stage_logger import StageLogger


@validated
class SampleMonitor(Observer):
    """Draw the same validation windows every few steps to `samples/*.png` of the run folder.

    Stage 1 draws reconstructions, stage 2 faulty and corrected signals. `StageLogger` sends the
    images to W&B as `samples/pictures`, and as `samples/table` the energy left of each sample:
    Σ‖x̂ - x‖² / Σ‖x̃ - x‖² in stage 2, the error energy of the reconstruction as a share of the
    energy of the signal in stage 1 (standardized units).

    Args:
        every: Optimizer steps between two figures.
        windows: Number of validation windows, evenly spread, from which samples are selected.

    Raises:
        LipfaultError: If a number is not positive.
    """

    local = False

    def __init__(self, every: Count = 500, windows: Count = 96) -> None:
        """Keep interval and number of windows."""
        super().__init__(every)
        if windows < 1:
            raise LipfaultError(f'windows: must be at least 1, got {windows}')
        self.windows = windows

    def measure(self, pl_module: LightningModule, batch: Any) -> dict[str, float]:  # noqa: ANN401
        """Draw the samples and send them to W&B.

        Args:
            pl_module: The task.
            batch: Not used: the windows are those of the validation split.

        Returns:
            Nothing, since the monitor has no metrics.
        """
        trainer, task = pl_module.trainer, pl_module
        arrays = example_arrays(task, self._probe(trainer, task.device))
        self._publish(trainer, task, arrays)
        return {}

    def _probe(self, trainer: Trainer, device: torch.device) -> Batch:
        """Return the validation windows with the faults of the validation, always the same."""
        data = recording_data(trainer)
        dataset = data.dataset(data.val_split)
        count = min(self.windows, len(dataset))
        rows = torch.linspace(0, len(dataset) - 1, count).long().tolist()
        windows = dataset.fetch(rows).to(device)
        return data.faulty_batch(windows) if data.has_faults else data.clean_batch(windows)

    @rank_zero_only
    def _publish(self, trainer: Trainer, task: Any, arrays: dict[str, Any]) -> None:  # noqa: ANN401
        """Write the figures and send them with the table to W&B."""
        step = trainer.global_step - 1  # the step of the loss that is logged with it
        modalities = task.description.modalities
        results = Results(report_arrays(modalities, recording_data(trainer).kinds, arrays))
        folder = Path(trainer.default_root_dir) / 'samples'
        pictures, rows = {}, []
        for name in modalities:
            file = (
                folder / f'{file_name(name)}-{step:06d}.png'
            )  # padded: sorted by name means sorted by step
            if draw_to_file(results, name, file):
                pictures[name] = file
                rows += [[step, name, *row] for row in sample_rows(task.autoencoder, results, name)]
        for logger in trainer.loggers:
            if isinstance(logger, StageLogger) and pictures:
                logger.log_samples(pictures, rows, step)


def example_arrays(task: Any, batch: Batch) -> dict[str, Any]:  # noqa: ANN401
    """Compute the example arrays of a batch as the report reads them.

    Args:
        task: A task of stage 1 or 2.
        batch: Validation windows on the device of the task.

    Returns:
        Arrays by key; of faulty windows one per fault kind.
    """
    if batch.labels is None or not hasattr(task, 'block'):
        return clean_examples(task.autoencoder, batch)
    kept: dict[str, Any] = {}
    fault_examples(kept, task.block, batch, task.description.modalities)
    return kept


def draw_to_file(results: Results, name: str, file: Path) -> bool:
    """Draw the samples of a modality into a PNG file.

    Args:
        results: Arrays with examples.
        name: The modality.
        file: The file; an existing one is replaced.

    Returns:
        Whether there were examples to draw.

    Raises:
        LipfaultError: If the file cannot be written.
    """
    try:
        with matplotlib.rc_context(RC):
            figure = draw_samples(results, name)
            with replacing(file, overwrite=True) as temporary:
                figure.savefig(temporary, format='png')
    except NothingToShow:
        return False
    return True


def sample_rows(autoencoder: Any, results: Results, name: str) -> list[tuple[str, int, float]]:  # noqa: ANN401
    """Compute kind, severity and energy left of each sample of a modality.

    Args:
        autoencoder: Autoencoder of stage 1, which standardizes the signals.
        results: Arrays with examples.
        name: The modality.

    Returns:
        A row per sample, with an empty kind and severity 0 for clean samples.
    """
    examples = results.examples(name)

    def standardized(signal: Array | None) -> Tensor:
        device = next(autoencoder.parameters()).device
        moved: Tensor = autoencoder.standardized({name: torch.as_tensor(signal).to(device)})[name]
        return moved.double()

    clean = standardized(examples.clean)
    if examples.faulty is None or examples.corrected is None:
        reference, error = clean, standardized(examples.reconstruction) - clean
    else:
        reference = standardized(examples.faulty) - clean
        error = standardized(examples.corrected) - clean
    # Missing values (NaN) of the faulty signal do not count.
    left, injected = (x.flatten(1).square().nansum(dim=1) for x in (error, reference))
    shares = (left / injected.clamp_min(1e-12)).tolist()
    kinds = [results.kinds[k] if k >= 0 else '' for k in examples.kind]
    severities = [max(0, int(s)) for s in examples.severity]
    return list(zip(kinds, severities, shares, strict=True))
