"""Two processes share every epoch, uneven last batches included."""

import json
from itertools import chain
from pathlib import Path

import pytest
import torch
from lightning.pytorch import LightningModule, Trainer

from lipfault.data.datamodule import RecordingDataModule
from lipfault.faults.config import FaultConfig


class Diary(LightningModule):
    """Write the ids of the windows, and a sum of the observed signals, to a folder."""

    def __init__(self, folder):
        super().__init__()
        self.folder = folder
        self.weight = torch.nn.Parameter(torch.zeros(()))
        self.pages = {}

    def _note(self, key, batch):
        sums = sum(signal.double().flatten(1).sum(1) for signal in batch.observed.values())
        rows = zip(batch.sample_id.tolist(), sums.tolist(), strict=True)
        self.pages.setdefault(key, []).append(list(rows))

    def training_step(self, batch, batch_idx):
        self._note('train', batch)
        return self.weight * 0

    def validation_step(self, batch, batch_idx):
        self._note('val', batch)

    def test_step(self, batch, batch_idx, dataloader_idx=0):
        self._note(f'test {dataloader_idx}', batch)

    def teardown(self, stage):
        path = Path(self.folder, f'{stage.value}-{self.global_rank}.json')
        path.write_text(json.dumps(self.pages))

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)


def record(folder, recording, devices):
    options = {'strategy': 'ddp_fork'} if devices > 1 else {}
    trainer = Trainer(
        accelerator='cpu', devices=devices, max_epochs=1, num_sanity_val_steps=0, logger=False,
        enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
        **options,
    )  # fmt: skip
    data = RecordingDataModule(
        str(recording), history_s=0.5, batch_size=4, cache='none',
        splits={'pretrain': 0.5, 'calibration': 0.2, 'test': 0.3},
        faults=FaultConfig(held_out=['drift']),
    )  # fmt: skip
    folder.mkdir()
    diary = Diary(str(folder))
    trainer.fit(diary, data)
    trainer.test(diary, data, verbose=False)
    return [
        {
            **json.loads((folder / f'fit-{rank}.json').read_text()),
            **json.loads((folder / f'test-{rank}.json').read_text()),
        }
        for rank in range(devices)
    ]


def flat(batches):
    return [(sample, total) for sample, total in chain.from_iterable(batches)]


@pytest.mark.ddp
@pytest.mark.slow
@pytest.mark.filterwarnings('ignore')
def test_two_processes_use_the_windows_of_one(tmp_path, tiny_recording):
    (alone,) = record(tmp_path / 'one', tiny_recording, 1)
    pair = record(tmp_path / 'two', tiny_recording, 2)
    assert [len(batch) for batch in pair[0]['train']] == [4] * 5
    left, right = (flat(diary['train']) for diary in pair)
    assert not {sample for sample, _ in left} & {sample for sample, _ in right}
    whole = dict(flat(alone['train']))
    assert all(whole.get(sample, total) == total for sample, total in left + right)
    for key in ('val', 'test 0', 'test 1'):
        assert set(flat(pair[0][key]) + flat(pair[1][key])) == set(flat(alone[key]))
        assert len(pair[0][key]) == len(pair[1][key])
