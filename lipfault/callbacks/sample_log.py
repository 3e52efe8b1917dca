"""JSON Lines of the injected faults and of the predictions of an evaluation."""

import json
from pathlib import Path
from typing import Any

from lightning import Callback, LightningModule, Trainer
from lightning.pytorch.utilities import rank_zero_info
from torch import Tensor

from lipfault.batch import Batch
from lipfault.faults.collection import NAMES
from lipfault.faults.log import Record, records
from lipfault.runs.atomic import replacing
from lipfault.tasks.distributed import gather_lists

TEST_FAULTS, FAULTS, PREDICTIONS = 'test_faults.jsonl', 'faults.jsonl', 'predictions.jsonl'
"""Files: faults of a test; faults of a prediction, if any were injected; predictions."""


class SampleLog(Callback):
    """Write one line of JSON for each injected fault and for each prediction.

    A test writes `test_faults.jsonl`. A prediction writes `predictions.jsonl`, with episode and end
    of each window beside all outputs that are one value per window, and `faults.jsonl` if faults
    were injected into the observed signals (`data.predict_faults`). Lines are sorted by sample id.

    Args:
        run: Folder of the run.
    """

    def __init__(self, run: Path) -> None:
        """Start without lines."""
        self.run = run
        self._faults: list[Record] = []
        self._predictions: list[Record] = []

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Drop the lines of an earlier evaluation.

        Args:
            trainer: The trainer.
            pl_module: The task.
        """
        self._faults, self._predictions = [], []

    on_predict_start = on_test_start

    def on_test_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: object, batch: Batch, *idx: int
    ) -> None:
        """Keep the faults of a batch.

        Args:
            trainer: The trainer.
            pl_module: The tested task, not used.
            outputs: Not used.
            batch: Observed test batch with its labels.
            idx: Index of the batch, and of the test split if there are several.
        """
        names = getattr(_data(trainer), 'test_names', ())
        loader = idx[1] if len(idx) > 1 else 0
        split = names[loader] if names else str(loader)
        self._keep_faults(trainer, batch, {'split': split})

    def on_predict_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: object,
        batch: Batch,
        *_: object,
    ) -> None:
        """Keep the predictions of a batch and the faults of its observed signals.

        Args:
            trainer: The trainer.
            pl_module: The task.
            outputs: Predictions by name.
            batch: Batch of observed signals.
        """
        self._keep_faults(trainer, batch, {})
        places = getattr(_data(trainer), 'places', None)
        where = places(batch.sample_id) if places else [{} for _ in batch.sample_id]
        lines = _lines(outputs, batch)
        self._predictions += [line | place for line, place in zip(lines, where, strict=False)]

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write the faults.

        Args:
            trainer: The trainer.
            pl_module: The task.
        """
        self._write(trainer, TEST_FAULTS, self._faults)

    def on_predict_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write predictions and faults.

        Args:
            trainer: The trainer.
            pl_module: The task.
        """
        self._write(trainer, PREDICTIONS, self._predictions)
        self._write(trainer, FAULTS, self._faults)

    def _keep_faults(self, trainer: Trainer, batch: Batch, extra: Record) -> None:
        if batch.labels is not None:
            kinds = getattr(_data(trainer), 'kinds', NAMES)
            found = records(batch.labels, batch.sample_id, tuple(batch.clean), kinds)
            self._faults += [record | extra for record in found]

    def _write(self, trainer: Trainer, name: str, mine: list[Record]) -> None:
        """Write the lines of all processes without duplicates; no file without lines."""
        # A distributed sampler repeats windows to give every process the same number.
        found = {
            (str(line.get('split')), line['sample_id'], str(line.get('modality'))): line
            for line in gather_lists(mine)
        }
        if not trainer.is_global_zero:
            return
        path = self.run / name
        if found:
            with replacing(path, overwrite=True) as temporary:
                lines = (json.dumps(found[key]) + '\n' for key in sorted(found))
                temporary.write_text(''.join(lines), encoding='utf-8')
            rank_zero_info(f'wrote {len(found)} lines to {path}')
        else:  # lines of an earlier evaluation would not belong to this one
            path.unlink(missing_ok=True)


def _data(trainer: Trainer) -> Any:  # noqa: ANN401
    return getattr(trainer, 'datamodule', None)


def _lines(outputs: object, batch: Batch) -> list[Record]:
    """Return a record per window with all outputs of one value per window, modalities by name."""
    if not isinstance(outputs, dict):
        return []
    count = len(batch.sample_id)
    columns = {
        key: value.tolist() if isinstance(value, Tensor) else value
        for key, value in outputs.items()
        if (isinstance(value, Tensor) and value.shape == batch.sample_id.shape)
        or (isinstance(value, list) and len(value) == count)
    }
    if 'p_value' in columns:  # JSON has no NaN
        columns['p_value'] = [p if p == p else None for p in columns['p_value']]
    if isinstance(outputs.get('missing'), dict):
        shares = {name: share.tolist() for name, share in outputs['missing'].items()}
        columns['missing'] = [
            {name: share[row] for name, share in shares.items() if share[row]}
            for row in range(count)
        ]
    columns['sample_id'] = batch.sample_id.tolist()
    if 'modality' in columns:
        names = tuple(batch.clean)
        columns['modality'] = [names[index] for index in columns['modality']]
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
