"""Writes what befell each window of an evaluation, and what was predicted of it."""

from pathlib import Path
from typing import Any

import lightning
from lightning.pytorch.utilities import rank_zero_info
from torch import Tensor

from lipfault.batch import Batch
from lipfault.faults.collection import NAMES
from lipfault.faults.log import Record, records, write_lines
from lipfault.tasks.distributed import gather_lists

TEST_FAULTS, FAULTS, PREDICTIONS = 'test_faults.jsonl', 'faults.jsonl', 'predictions.jsonl'
"""The files: faults of a test; faults of a prediction, where it has any, next to what it says."""


class SampleLog(lightning.Callback):
    """Writes JSON Lines into the run's folder, a line for each fault and for each prediction.

    A test writes `test_faults.jsonl`. A prediction writes `predictions.jsonl`, all that is one
    number of a window, and, if faults were injected into what is predicted from
    (`data.predict_faults`), `faults.jsonl`. Lines are in the order of the sample ids.

    Args:
        run: The run's folder.
    """

    def __init__(self, run: Path) -> None:
        """Nothing is known yet."""
        self.run = run
        self._faults: list[Record] = []
        self._predictions: list[Record] = []

    def on_test_start(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule
    ) -> None:
        """Forget an earlier evaluation."""
        self._faults, self._predictions = [], []

    on_predict_start = on_test_start

    def on_test_batch_end(
        self,
        trainer: lightning.Trainer,
        pl_module: lightning.LightningModule,
        outputs: Any,  # noqa: ANN401
        batch: Batch,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Note the faults of a batch."""
        names = getattr(_data(trainer), 'test_names', ())
        split = names[dataloader_idx] if names else str(dataloader_idx)
        self._note_faults(trainer, batch, {'split': split})

    def on_predict_batch_end(
        self,
        trainer: lightning.Trainer,
        pl_module: lightning.LightningModule,
        outputs: Any,  # noqa: ANN401
        batch: Batch,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Note what is predicted, and the faults that it is predicted from."""
        self._note_faults(trainer, batch, {})
        self._predictions += _lines(outputs, batch)

    def on_test_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Write the faults."""
        self._write(trainer, TEST_FAULTS, self._faults)

    def on_predict_end(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule
    ) -> None:
        """Write predictions and faults."""
        self._write(trainer, PREDICTIONS, self._predictions)
        self._write(trainer, FAULTS, self._faults)

    def _note_faults(self, trainer: lightning.Trainer, batch: Batch, extra: Record) -> None:
        if batch.labels is not None:
            kinds = getattr(_data(trainer), 'kinds', NAMES)
            found = records(batch.labels, batch.sample_id, tuple(batch.clean), kinds)
            self._faults += [record | extra for record in found]

    def _write(self, trainer: lightning.Trainer, name: str, mine: list[Record]) -> None:
        """Write the lines of all processes, each once; no file where there are none."""
        found = {
            (str(line.get('split')), line['sample_id'], str(line.get('modality'))): line
            for line in gather_lists(mine)
        }
        if not trainer.is_global_zero:
            return
        if found:
            write_lines(self.run / name, (found[key] for key in sorted(found)))
            rank_zero_info(f'{self.run / name}: {len(found)} lines')
        else:  # lines of an earlier evaluation would not belong to this one
            (self.run / name).unlink(missing_ok=True)


def _data(trainer: lightning.Trainer) -> Any:  # noqa: ANN401
    return getattr(trainer, 'datamodule', None)


def _lines(outputs: Any, batch: Batch) -> list[Record]:  # noqa: ANN401
    """For each window what is one number of it; a modality by its name."""
    if not isinstance(outputs, dict):
        return []
    columns = {
        key: value.tolist()
        for key, value in outputs.items()
        if isinstance(value, Tensor) and value.shape == batch.sample_id.shape
    }
    columns['sample_id'] = batch.sample_id.tolist()
    if 'modality' in columns:
        names = tuple(batch.clean)
        columns['modality'] = [names[place] for place in columns['modality']]
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
