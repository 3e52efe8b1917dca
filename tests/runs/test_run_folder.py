"""The folder of a run is settled before anything costs time, alike in all processes."""

import os

import pytest
import yaml
from lightning.pytorch.utilities import rank_zero_only

from lipfault.errors import LipfaultError
from lipfault.runs.folder import CONFIG_NAME, changes_since, require_writable
from lipfault.runs.launch import first_process, new_folder

LAUNCHERS = ('RANK', 'WORLD_SIZE', 'NODE_RANK', 'LOCAL_RANK', 'SLURM_PROCID', 'SLURM_NTASKS')
SLURM = {'SLURM_PROCID': '0', 'SLURM_NTASKS': '2', 'SLURM_JOB_NAME': 'train'}


@pytest.fixture(autouse=True)
def _alone(monkeypatch):
    for name in (*LAUNCHERS, 'SLURM_JOB_NAME', 'LIPFAULT_RUN'):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(rank_zero_only, 'rank', 0)


def started(monkeypatch, variables, rank=0):
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(rank_zero_only, 'rank', rank)


@pytest.mark.parametrize(
    ('variables', 'rank', 'first'),
    [
        ({}, 0, True),
        ({'RANK': '0', 'NODE_RANK': '1'}, 0, True),
        ({'NODE_RANK': '1'}, 0, False),
        ({'NODE_RANK': '0', 'LOCAL_RANK': '1'}, 1, False),
        (SLURM, 0, True),
        (SLURM | {'SLURM_PROCID': '1'}, 1, False),
    ],
)
def test_one_process_is_the_first(monkeypatch, variables, rank, first):
    started(monkeypatch, variables, rank)
    assert first_process() is first


def test_processes_that_this_one_starts_take_its_folder(monkeypatch):
    folder = new_folder('pretrain')
    assert folder.startswith('runs/pretrain-')
    started(monkeypatch, {'NODE_RANK': '0', 'LOCAL_RANK': '1', 'WORLD_SIZE': '2'}, rank=1)
    assert new_folder('pretrain') == folder


@pytest.mark.parametrize('rank', [0, 1])
@pytest.mark.parametrize(
    'variables', [SLURM, {'RANK': '0', 'WORLD_SIZE': '2'}], ids=['slurm', 'torchrun']
)
def test_processes_started_by_others_must_name_a_folder(monkeypatch, variables, rank):
    started(monkeypatch, variables, rank)
    with pytest.raises(LipfaultError, match='name it with --run'):
        new_folder('pretrain')


def test_a_shell_inside_a_slurm_job_is_one_process(monkeypatch):
    started(monkeypatch, SLURM | {'SLURM_JOB_NAME': 'bash'})
    assert new_folder('pretrain').startswith('runs/')


def test_a_file_in_the_way_is_named(tmp_path):
    (tmp_path / 'file').touch()
    for folder in (tmp_path / 'file', tmp_path / 'file' / 'run'):
        with pytest.raises(LipfaultError, match='file is no folder'):
            require_writable(folder)


def test_a_folder_without_permission_is_named(tmp_path, monkeypatch):
    require_writable(tmp_path / 'new' / 'run')
    assert not (tmp_path / 'new').exists()
    monkeypatch.setattr(os, 'access', lambda path, mode: path != tmp_path)
    with pytest.raises(LipfaultError, match=f'no permission to write in {tmp_path}'):
        require_writable(tmp_path / 'new' / 'run')


def test_changes_are_named_by_key(tmp_path):
    checkpoint = tmp_path / 'checkpoints' / 'last.ckpt'
    config = {'run': 'a', 'data': {'batch_size': 64, 'seed': 0}, 'trainer': {'devices': 'auto'}}
    assert changes_since(checkpoint, config) == []
    (tmp_path / CONFIG_NAME).write_text(yaml.safe_dump(config))
    assert changes_since(checkpoint, config | {'run': 'b'}) == []
    now = config | {'data': {'batch_size': 32, 'seed': 0}, 'trainer': {'devices': 2}}
    assert changes_since(checkpoint, now) == [
        'data.batch_size is 32, was 64',
        'trainer.devices is 2, was auto',
    ]
