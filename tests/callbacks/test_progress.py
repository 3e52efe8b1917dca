"""Progress in a log file is a few plain lines."""

from types import SimpleNamespace

import lightning
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader

from lipfault.callbacks import progress
from lipfault.callbacks.progress import ProgressLines, SetupMessages


class Line(lightning.LightningModule):
    """A weight; its loss is shown."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(1, 1)

    def training_step(self, batch, batch_idx):
        loss = self.layer(batch).square().mean()
        self.log('train/loss', loss, prog_bar=True)
        return loss

    def test_step(self, batch, batch_idx):
        self.log('test/loss', self.layer(batch).square().mean())

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)


@pytest.fixture
def loader():
    return DataLoader(torch.ones(40, 1), batch_size=2)


def trainer(lines, **options):
    return lightning.Trainer(
        accelerator='cpu', logger=False, enable_checkpointing=False, callbacks=[lines],
        enable_model_summary=False, **options,
    )  # fmt: skip


@pytest.mark.filterwarnings('ignore:.*does not have many workers')
@pytest.mark.filterwarnings('ignore:.*LeafSpec')
@pytest.mark.parametrize(('seconds', 'within'), [(1e9, 0), (0.0, 9)])
def test_lines_of_fit_and_test(seconds, within, loader, capsys, monkeypatch):
    monkeypatch.setattr(progress, 'LEAST_S', seconds)
    trainer(ProgressLines(), max_epochs=2).fit(Line(), loader)
    printed = capsys.readouterr().out
    assert '\r' not in printed
    lines = printed.splitlines()
    assert lines[0] == 'training: 2 epochs of 20 steps, 0:00:00 elapsed'
    done = [line for line in lines if ' done, train/loss ' in line]
    assert [line.split(' done')[0] for line in done] == ['epoch 1/2', 'epoch 2/2']
    assert sum('epoch 1/2, step ' in line for line in lines) == within
    trainer(ProgressLines()).test(Line(), loader, verbose=False)
    assert capsys.readouterr().out.startswith('test: running, 0:00:00 elapsed\n')


def test_a_disabled_bar_prints_nothing(loader, capsys):
    lines = ProgressLines()
    lines.disable()
    lines._print('text')
    assert lines._values() == ''
    assert capsys.readouterr().out == ''
    lines.enable()
    lines._print('text')
    assert capsys.readouterr().out.startswith('text, 0:00:00')


def test_the_closed_forms_are_announced(monkeypatch):
    logged = []
    monkeypatch.setattr(progress, 'rank_zero_info', logged.append)
    data = SimpleNamespace(train_split='pretrain', dataset=lambda split: range(7))
    SetupMessages().setup(SimpleNamespace(datamodule=data), None, 'test')
    SetupMessages().setup(SimpleNamespace(datamodule=None), None, 'fit')
    assert logged == []
    SetupMessages().setup(SimpleNamespace(datamodule=data), None, 'fit')
    assert "windows of split 'pretrain', which has 7" in logged[0]
