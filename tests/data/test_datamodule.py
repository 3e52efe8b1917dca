"""Batches depend on (seed, epoch, sample id), not on workers, caches or ranks."""

from dataclasses import replace
from itertools import chain
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from jsonargparse import ArgumentParser
from lightning.pytorch import LightningModule, Trainer

from lipfault.batch import Batch
from lipfault.data.datamodule import RecordingDataModule
from lipfault.data.splits import EVERY_EPISODE
from lipfault.data.writer import write_recording
from lipfault.errors import LipfaultError
from lipfault.faults.config import FaultConfig
from lipfault.faults.event import FaultEvent
from lipfault.faults.scenario import FaultScenario
from lipfault.faults.schedule import FaultSchedule

SPLITS = {'pretrain': 0.5, 'calibration': 0.2, 'test': 0.3}
PER_EPISODE = 15


def datamodule(path, **options):
    options = {'history_s': 0.5, 'splits': SPLITS, 'batch_size': 8, **options}
    return RecordingDataModule(str(path), **options)


class Probe(LightningModule):
    """Store every batch."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(()))
        self.seen: dict[str, list[Batch]] = {}

    def _note(self, key, batch):
        self.seen.setdefault(key, []).append(batch)

    def training_step(self, batch, _):
        self._note(f'train {self.current_epoch}', batch)
        return self.weight * 0

    def validation_step(self, batch, _):
        self._note('sanity' if self.trainer.sanity_checking else f'val {self.current_epoch}', batch)

    def test_step(self, batch, batch_idx, dataloader_idx=0):
        self._note(f'test {dataloader_idx}', batch)

    def predict_step(self, batch, _):
        self._note('predict', batch)
        return batch.sample_id

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)


def trainer(**options):
    return Trainer(
        accelerator='cpu',
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        **options,
    )


def ids(batches):
    return [batch.sample_id.tolist() for batch in batches]


def flat(lists):
    return list(chain.from_iterable(lists))


pytestmark = [
    pytest.mark.filterwarnings('ignore:.*does not have many workers'),
    pytest.mark.filterwarnings('ignore:.*number of training batches'),
    pytest.mark.filterwarnings('ignore:.*LeafSpec.*is deprecated'),
    pytest.mark.filterwarnings('ignore:.*multi-threaded.*fork:DeprecationWarning'),
]


def test_description_for_models(tiny_recording, tiny_modalities):
    data = datamodule(tiny_recording)
    # The recording states no quantum: it is inferred, and is the one of the writer.
    inferred = {
        name: replace(modality, quantum=modality.steps, quantum_inferred=True)
        for name, modality in tiny_modalities.items()
    }
    assert data.modalities == inferred
    assert data.description == {
        'modalities': {name: modality.to_dict() for name, modality in inferred.items()},
        'steps': {'force': 100, 'joints': 50},
    }
    assert data.window_shape == {'camera': (3, 16, 16), 'force': (2, 100), 'joints': (4, 50)}


def test_no_window_is_in_two_splits(tiny_recording):
    data = datamodule(tiny_recording)
    parts = [set(data.dataset(name).sample_id.tolist()) for name in SPLITS]
    assert [len(part) for part in parts] == [3 * PER_EPISODE, PER_EPISODE, 2 * PER_EPISODE]
    assert set().union(*parts) == set(range(6 * PER_EPISODE))


def test_a_split_without_gaps_is_read_once(tiny_recording):
    data = datamodule(tiny_recording)
    whole = data.dataset('test')
    assert data.dataset('test', complete=False) is whole is data.dataset('test')


@pytest.fixture
def with_gaps(tmp_path, tiny_modalities, tiny_episodes):
    """The recording with a joint sample and a frame missing in each episode, 0.6 s apart."""
    joints, camera = np.ones(150, bool), np.ones(30, bool)
    joints[120], camera[18] = False, False
    episodes = [replace(e, present={'joints': joints, 'camera': camera}) for e in tiny_episodes]
    write_recording(tmp_path / 'gaps.h5', list(tiny_modalities.values()), episodes)
    return tmp_path / 'gaps.h5'


def test_windows_with_gaps_are_predicted_and_nothing_else(with_gaps):
    probe, data = Probe(), datamodule(with_gaps, faults=FaultConfig(seed=1, clean_share=0.2))
    fit = trainer(max_epochs=1)
    fit.fit(probe, data)
    fit.test(probe, data, verbose=False)
    fit.predict(probe, data)
    for key in ('train 0', 'val 0', 'test 0'):
        for batch in probe.seen[key]:
            for signals in (batch.clean, batch.observed):
                assert not any(bool(x.isnan().any()) for x in signals.values())
    tested, predicted = (set(flat(ids(probe.seen[k]))) for k in ('test 0', 'predict'))
    assert predicted == set(data.dataset(EVERY_EPISODE, complete=False).sample_id.tolist())
    lost = {'joints': set(), 'camera': set()}
    for batch in probe.seen['predict']:
        for name, rows in lost.items():
            holes = batch.observed[name].isnan().flatten(1)
            rows |= set(batch.sample_id[holes.any(dim=1)].tolist())
            assert torch.equal(batch.present[name], ~holes.any(dim=1))
            assert name != 'camera' or torch.equal(holes.any(dim=1), holes.all(dim=1))
    assert len(lost['joints']) == 6 * 6  # that end from 2.4 s, when it is missing, to 2.9 s
    assert len(lost['camera']) == 6
    every = set(data.dataset('test', complete=False).sample_id.tolist())
    assert tested == every - lost['joints'] - lost['camera']
    assert data.dataset('test').left_out == len(every & (lost['joints'] | lost['camera']))


def test_a_split_of_gaps_only_is_refused(tmp_path, tiny_modalities, tiny_episodes):
    gone = np.zeros(150, bool)
    episodes = [replace(e, present={'joints': gone}) for e in tiny_episodes]
    write_recording(tmp_path / 'gaps.h5', list(tiny_modalities.values()), episodes)
    with pytest.raises(LipfaultError, match=r"'test': 30 windows with a missing sample"):
        datamodule(tmp_path / 'gaps.h5').dataset('test')


@pytest.fixture(scope='module')
def run(tiny_recording):
    probe = Probe()
    data = datamodule(tiny_recording, faults=FaultConfig(seed=1, held_out=['drift']))
    fit = trainer(max_epochs=2)
    fit.fit(probe, data)
    fit.test(probe, data, verbose=False)
    fit.predict(probe, data)
    return probe.seen, data


def test_training_order_is_shuffled_anew_each_epoch(run):
    seen, data = run
    first, second = ids(seen['train 0']), ids(seen['train 1'])
    assert [len(batch) for batch in first] == [8] * 5
    assert first != second
    assert set(flat(first)) <= set(data.dataset('pretrain').sample_id.tolist())
    assert len(set(flat(first))) == 40


def test_validation_is_the_same_in_every_epoch(run):
    seen, _ = run
    assert ids(seen['val 0']) == ids(seen['val 1'])
    for early, late in zip(seen['val 0'], seen['val 1'], strict=True):
        for name in early.observed:
            assert torch.equal(early.observed[name], late.observed[name])


def test_training_faults_change_with_the_epoch(run):
    seen, _ = run
    kinds = [
        {
            sample: tuple(kind)
            for batch in seen[f'train {epoch}']
            for sample, kind in zip(
                batch.sample_id.tolist(), batch.labels.kind.tolist(), strict=True
            )
        }
        for epoch in (0, 1)
    ]
    common = set(kinds[0]) & set(kinds[1])
    assert any(kinds[0][sample] != kinds[1][sample] for sample in common)


def test_seen_and_unseen_kinds_are_tested_apart(run):
    seen, data = run
    assert data.test_names == ('seen', 'unseen')
    assert ids(seen['test 0']) == ids(seen['test 1'])
    assert flat(ids(seen['test 0'])) == data.dataset('test').sample_id.tolist()
    kinds = [torch.cat([batch.labels.kind for batch in seen[f'test {i}']]) for i in (0, 1)]
    assert not set(kinds[0].unique().tolist()) & set(kinds[1].unique().tolist()) - {-1}


def test_predictions_use_signals_as_recorded(run):
    seen, _ = run
    for batch in seen['predict']:
        assert batch.labels is None
        assert all(batch.observed[name] is batch.clean[name] for name in batch.clean)


def test_only_a_frozen_camera_stands_still(tiny_recording):
    # Without a scale: at the damage of severity 1 a part of the frame is frozen.
    config = FaultConfig(kinds={'frozen_frame': 1.0}, clean_share=0.5, damage=None)
    data = datamodule(tiny_recording, faults=config)
    batch = data.faulty_batch(data.dataset('pretrain').fetch(range(40)))
    frozen = batch.labels.modality.any(1)
    assert frozen.any()
    assert not frozen.all()
    assert torch.equal(batch.stillness['camera'] == 1, frozen)
    assert batch.clean_stillness['camera'].max() < 1
    assert torch.equal(batch.stillness['camera'][~frozen], batch.clean_stillness['camera'][~frozen])


def test_a_scenario_freezes_the_camera_of_an_episode(tiny_recording):
    data = datamodule(tiny_recording)
    windows = data.dataset('test').fetch(range(PER_EPISODE))
    event = FaultEvent('camera', 'frozen_frame', 5, 2.0, 2.5)
    batch = data.scenario_batch(windows, FaultScenario(FaultSchedule(data.modalities, [event])))
    end_s = windows.end_s
    faulty = (end_s > 2.0 - 1e-4) & (end_s < 2.5 - 1e-4)
    # The first frozen frame is the frame of the onset: true, and unlike the preceding one.
    assert torch.equal(batch.labels.faulty, faulty & (end_s > 2.05))
    still = batch.stillness['camera'] == 1
    assert torch.equal(still, faulty & (end_s > 2.05))
    assert still.sum() == 4
    assert batch.clean_stillness['camera'].max() < 1
    assert torch.equal(batch.present['camera'], torch.ones(PER_EPISODE, dtype=torch.bool))
    assert torch.equal(batch.observed['joints'], batch.clean['joints'])


def test_a_scenario_needs_one_episode(tiny_recording):
    data = datamodule(tiny_recording)
    scenario = FaultScenario(FaultSchedule(data.modalities, []))
    for chosen in ([0, PER_EPISODE], [3, 2]):
        with pytest.raises(LipfaultError, match='windows of one episode in order of time'):
            data.scenario_batch(data.dataset('test').fetch(chosen), scenario)


def test_predictions_use_faults_if_set(run, tiny_recording):
    seen, _ = run
    probe, config = Probe(), FaultConfig(seed=1, held_out=['drift'])
    trainer().predict(probe, datamodule(tiny_recording, faults=config, predict_faults=True))
    for here, there in zip(probe.seen['predict'], seen['test 0'], strict=True):
        assert torch.equal(here.sample_id, there.sample_id)
        assert torch.equal(here.labels.kind, there.labels.kind)
        for name in here.observed:
            assert torch.equal(here.observed[name], there.observed[name])


@pytest.mark.parametrize('stage', ['fit', 'test'])
def test_an_unknown_fault_is_named_before_anything_runs(tiny_recording, stage):
    data = datamodule(tiny_recording, faults=FaultConfig(kinds={'bais': 1.0}))
    with pytest.raises(LipfaultError, match="unknown fault 'bais': did you mean 'bias'"):
        data.setup(stage)


@pytest.mark.parametrize('options', [{'num_workers': 2}, {'cache': 'none'}, {'cache': 'series'}])
def test_workers_and_caches_change_nothing(run, tiny_recording, options):
    seen, _ = run
    probe = Probe()
    faults = FaultConfig(seed=1, held_out=['drift'])
    trainer(max_epochs=1, num_sanity_val_steps=0).fit(
        probe, datamodule(tiny_recording, faults=faults, **options)
    )
    assert ids(probe.seen['train 0']) == ids(seen['train 0'])
    for here, there in zip(probe.seen['train 0'], seen['train 0'], strict=True):
        for name in here.observed:
            assert torch.equal(here.observed[name], there.observed[name])


def _order(path, seed, epoch, rank=0, world=1):
    data = datamodule(path, seed=seed, batch_size=4)
    fresh = trainer().fit_loop
    data.trainer = SimpleNamespace(world_size=world, global_rank=rank, fit_loop=fresh)
    loader = data.train_dataloader()
    loader.sampler.set_epoch(epoch)
    return [windows.sample_id.tolist() for windows in loader]


def test_the_order_is_a_function_of_seed_and_epoch(tiny_recording):
    assert _order(tiny_recording, 3, 5) == _order(tiny_recording, 3, 5)
    orders = [_order(tiny_recording, *key) for key in [(3, 5), (3, 6), (4, 4), (4, 5)]]
    assert all(a != b for i, a in enumerate(orders) for b in orders[:i])


def test_two_ranks_share_the_epoch(tiny_recording):
    ranks = [_order(tiny_recording, 0, 0, rank, world=2) for rank in (0, 1)]
    assert [len(order) for order in ranks] == [5, 5]
    together = [flat(order) for order in ranks]
    assert not set(together[0]) & set(together[1])
    interleaved = [sample for pair in zip(*together, strict=True) for sample in pair]
    assert interleaved == flat(_order(tiny_recording, 0, 0))[:40]


def test_several_files(tmp_path, tiny_recording):
    other = tmp_path / 'other.h5'
    other.write_bytes(tiny_recording.read_bytes())
    splits = {'pretrain': 0.5, 'test': ['tiny/swing-00', 'other/swing-05']}
    data = RecordingDataModule([str(tiny_recording), str(other)], history_s=0.5, splits=splits)
    last = 11 * PER_EPISODE
    assert data.dataset('test').sample_id.tolist() == [*range(15), *range(last, last + 15)]


@pytest.mark.parametrize(
    ('options', 'use', 'message'),
    [
        ({'train_split': 'practice'}, 'train_dataloader', "no split 'practice'; splits are"),
        ({'batch_size': 64}, 'train_dataloader', "'pretrain' has 45 windows .* batch_size=64"),
        ({'window_s': 9.0}, 'train_dataloader', r'the longest lasts 3 s; data.window_s=0\.7'),
        ({'splits': {'pretrain': 1.0, 'test': 0.01}}, 'test_dataloader', "'test' has no episode"),
        ({'cache_limit_gb': 1e-9}, 'test_dataloader', "cache='all' needs"),
    ],
)
def test_mistakes_are_named(tiny_recording, options, use, message):
    data = datamodule(tiny_recording, **options)
    with pytest.raises(LipfaultError, match=message):
        getattr(data, use)()


def test_a_missing_file_is_named_on_first_use(tmp_path):
    data = datamodule(tmp_path / 'gone.h5')
    with pytest.raises(LipfaultError, match=r'gone\.h5 does not exist'):
        data.setup('fit')


def test_faults_need_a_configuration(tiny_recording):
    data = datamodule(tiny_recording)
    with pytest.raises(LipfaultError, match='no faults are configured'):
        data.faulty_batch(data.dataset('test').fetch([0]))


def test_settings_stand_in_a_config(tiny_recording):
    parser = ArgumentParser()
    parser.add_class_arguments(RecordingDataModule, 'data')
    text = f"""
    data:
      path: [{tiny_recording}]
      history_s: 0.5
      splits: {{pretrain: 1, calibration: 0.5, test: [swing-03]}}
      faults: {{held_out: [drift], severities: {{5: 1.0}}}}
    """
    settings = parser.parse_string(text)
    data = parser.instantiate(settings).data
    assert data.split_ids['test'] == ['swing-03']
    assert data.test_names == ('seen', 'unseen')
    again = parser.instantiate(parser.parse_string(parser.dump(settings))).data
    assert again.split_ids == data.split_ids
