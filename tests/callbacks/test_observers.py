"""Observers measure correctly and leave the training bit-identical."""

import csv
import json
from types import SimpleNamespace

import lightning
import pytest
import torch
from lightning.pytorch.callbacks import Checkpoint, RichProgressBar
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger
from torch import nn
from torch.utils.data import DataLoader

from lipfault.batch import Batch
from lipfault.callbacks.jacobian import JacobianMonitor
from lipfault.callbacks.last_checkpoint import LastCheckpoint
from lipfault.callbacks.run_recorder import RunRecorder
from lipfault.callbacks.spectral import SpectralNormMonitor
from lipfault.errors import LipfaultError
from lipfault.lipschitz.modulation.modulation import modulate
from lipfault.modality import Modality
from lipfault.models.blocks.interface.types import Observation

pytestmark = pytest.mark.filterwarnings(
    'ignore:.*does not have many workers', 'ignore:.*treespec, LeafSpec'
)


IMU = Modality('imu', 'series', 50.0, ('x', 'y'), ('1',) * 2, (-4.0, 0.0), (4.0, 1.0), (0.1,) * 2)


class Coder(nn.Module):
    def standardized(self, signals):
        return signals

    def forward(self, signals):
        return signals


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.start = nn.Conv1d(2, 2, 3, padding=1)
        self.corrector = nn.Module()
        self.corrector.trunk = nn.Sequential(nn.Linear(16, 12), nn.Dropout(0.5), nn.GELU())
        self.corrector.heads = nn.ModuleDict({'a': nn.Linear(12, 8), 'b': nn.Linear(12, 8)})
        self.detector = nn.Module()
        self.detector.conv = nn.Conv1d(2, 3, 3, padding=1)
        self.detector.layers = nn.Sequential(nn.Linear(24, 8), nn.GELU(), nn.Linear(8, 4))

    def monitored(self):
        return {'corrector': self.corrector, 'detector': self.detector}

    def forward(self, observation):
        self.side_info, signals = observation.side_info, observation.signals
        hidden = self.corrector.trunk(signals['imu'].flatten(1))
        heads = [head(hidden) for head in self.corrector.heads.values()]
        embedding = self.detector.layers(self.detector.conv(signals['imu']).flatten(1))
        return torch.cat(heads, dim=1).view(-1, 2, 8), embedding


class Task(lightning.LightningModule):
    def __init__(self, mode):
        super().__init__()
        self.autoencoder, self.block = Coder(), Block()
        self.description = SimpleNamespace(modalities={'imu': IMU})
        if mode:
            modulate(self.block, {'corrector.*': {'mode': mode, 'target': 0.5}})

    def training_step(self, batch, batch_idx):
        corrected, embedding = self.block(Observation(batch.observed))
        loss = (corrected - batch.clean['imu']).square().mean() + embedding.square().mean()
        self.log('train/loss', loss)
        return loss

    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters(), lr=0.01)


def collate(indices):
    generator = torch.Generator().manual_seed(indices[0])
    clean = torch.randn(len(indices), 2, 8, generator=generator)
    observed = clean + torch.randn(clean.shape, generator=generator)
    present = {'imu': torch.ones(len(indices), dtype=torch.bool)}
    return Batch({'imu': clean}, {'imu': observed}, present, torch.tensor(indices))


def fit(folder, callbacks, mode='pin', size=8, loggers=None):
    torch.manual_seed(0)
    task = Task(mode)
    trainer = lightning.Trainer(
        max_epochs=2,
        accelerator='cpu',
        callbacks=callbacks,
        logger=[CSVLogger(folder, name='', version='')] if loggers is None else loggers,
        log_every_n_steps=1,
        enable_checkpointing=any(isinstance(c, Checkpoint) for c in callbacks),
        enable_progress_bar=any(isinstance(c, RichProgressBar) for c in callbacks),
        enable_model_summary=False,
        default_root_dir=folder,
    )
    loader = DataLoader(range(40), batch_size=size, shuffle=True, collate_fn=collate)
    trainer.fit(task, loader)
    return task


def rows(folder):
    with (folder / 'metrics.csv').open() as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize('mode', [None, 'pin', 'cap', 'penalty'])
def test_training_is_bit_identical_with_and_without_observers(tmp_path, mode):
    with_them = [
        SpectralNormMonitor(every=1),
        JacobianMonitor(every=1, modules=('block.corrector.trunk', 'block.detector.layers')),
    ]
    watched = fit(tmp_path / 'watched', with_them, mode)
    alone = fit(tmp_path / 'alone', [], mode)
    for (name, a), b in zip(watched.state_dict().items(), alone.state_dict().values(), strict=True):
        assert torch.equal(a, b), name
    losses = [
        [r['train/loss'] for r in rows(tmp_path / n) if r['train/loss']]
        for n in ('watched', 'alone')
    ]
    assert losses[0] == losses[1]


def test_training_is_bit_identical_with_all_of_a_run_and_with_nothing(tmp_path):
    folder = tmp_path / 'all'
    everything = [
        SpectralNormMonitor(every=1),
        JacobianMonitor(every=2, modules=('block.corrector.trunk', 'block.detector.layers')),
        RunRecorder(folder, 0),
        LastCheckpoint(folder / 'checkpoints', 1),
        RichProgressBar(),
    ]
    folder.mkdir()
    loggers = [CSVLogger(folder, name='', version=''), TensorBoardLogger(folder, name='board')]
    watched = fit(folder, everything, loggers=loggers)
    alone = fit(tmp_path / 'nothing', [], loggers=False)
    for (name, a), b in zip(watched.state_dict().items(), alone.state_dict().values(), strict=True):
        assert torch.equal(a, b), name
    assert (folder / 'checkpoints' / 'last.ckpt').exists()
    assert list((folder / 'board').rglob('events.*'))
    assert json.loads((folder / 'environment.json').read_text())['device'] == 'cpu'
    assert not (tmp_path / 'nothing').exists()


def test_spectral_norms_are_those_of_the_layers(tmp_path):
    monitor = SpectralNormMonitor(every=5)
    task = fit(tmp_path, [monitor], None)
    values = monitor.measure(task, None)
    norms = {
        name: float(torch.linalg.matrix_norm(layer.weight.detach(), 2))
        for name, layer in task.block.corrector.named_modules()
        if isinstance(layer, nn.Linear)
    }
    for name, norm in norms.items():
        assert values[f'norm/corrector/{name}'] == pytest.approx(norm, rel=1e-3)
    heads = (norms['heads.a'] ** 2 + norms['heads.b'] ** 2) ** 0.5
    assert values['norm/corrector'] == pytest.approx(norms['trunk.0'] * heads, rel=1e-3)
    assert values['norm/detector/conv'] > 0
    assert not task.block.detector.conv._forward_pre_hooks
    logged = [r for r in rows(tmp_path) if r['norm/corrector']]
    assert [int(r['step']) for r in logged] == [0, 5]


def test_jacobian_and_gains_are_those_of_the_module(tmp_path):
    monitor = JacobianMonitor(every=100, modules=('block.detector.layers',), samples=4)
    task = fit(tmp_path, [monitor], None).eval()
    with torch.no_grad():
        monitor.measure(task, None)
        values = monitor.measure(task, None)
    layers, (clean, observed) = task.block.detector.layers, monitor._probe
    x, moved = (task.block.detector.conv(s['imu']).flatten(1).detach() for s in (clean, observed))
    jacobian = torch.func.vmap(torch.func.jacrev(lambda v: layers(v[None])[0]))(moved).detach()
    top = float(torch.linalg.matrix_norm(jacobian, 2).max())
    assert values['jacobian/detector/max'] == pytest.approx(top, rel=0.01)
    with torch.no_grad():
        change = (layers(moved) - layers(x)).norm(dim=1) / (moved - x).norm(dim=1)
        other = x.roll(2, 0)
        calm = (layers(other) - layers(x)).norm(dim=1) / (other - x).norm(dim=1)
    assert values['gain/detector/fault'] == pytest.approx(float(change.mean()), rel=1e-4)
    assert values['gain/detector/clean'] == pytest.approx(float(calm.mean()), rel=1e-4)


def test_masks_of_missing_values_reach_the_block():
    monitor = JacobianMonitor(modules=('block.corrector.trunk', 'block.detector.layers'))
    task, batch = Task(None).eval(), collate([1, 2, 3])
    batch.observed['imu'][0, 1, 2:5] = torch.nan
    with torch.no_grad():
        values = monitor.measure(task, batch)
    assert all(torch.tensor(v).isfinite() for v in values.values())
    assert torch.equal(task.block.side_info.missing['imu'], batch.observed['imu'].isnan())
    same = collate([1, 2, 3])
    same.observed['imu'][0, 1, 2:5] = 0.5  # the middle of the range
    with torch.no_grad():
        again = JacobianMonitor(modules=monitor.modules).measure(task, same)
    assert again == values


def test_means_are_taken_on_the_device_of_the_strategy():
    def reduce(value):
        assert value.device == torch.device('meta')
        return torch.tensor(3.0)

    logged = []
    strategy = SimpleNamespace(root_device=torch.device('meta'), reduce=reduce)
    logger = SimpleNamespace(log_metrics=lambda values, step: logged.append((values, step)))
    trainer = SimpleNamespace(global_step=1, strategy=strategy, loggers=[logger])
    monitor = JacobianMonitor(modules=('block.detector.layers',))
    monitor.on_train_batch_end(trainer, Task(None), None, collate([1, 2]), 0)
    assert [set(values.values()) for values, _ in logged] == [{3.0}]


@pytest.mark.parametrize(
    ('build', 'message'),
    [
        (lambda: SpectralNormMonitor(every=0), 'every: must be a whole number from 1'),
        (lambda: JacobianMonitor(samples=1), 'at least 2 windows'),
        (
            lambda: JacobianMonitor(modules=('block.corrector',)).measure(Task(None), collate([1])),
            '2',
        ),
        (
            lambda: JacobianMonitor(modules=('block.corrector',)).measure(
                Task(None), collate([1, 2])
            ),
            r"\['corrector'\] are never called",
        ),
        (
            lambda: SpectralNormMonitor(modules=('block.nose',)).measure(Task(None), None),
            'block.nose',
        ),
    ],
)
def test_invalid_settings_are_named(build, message):
    with pytest.raises(LipfaultError, match=message):
        build()
