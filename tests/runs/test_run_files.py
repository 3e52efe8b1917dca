"""Files of a run are read in bounded time, written as a whole, and never outside the run."""

import errno
import json
import os
import pickle
import time
from pathlib import Path

import pytest
import torch

from lipfault.errors import LipfaultError
from lipfault.runs.atomic import replacing
from lipfault.runs.checkpoints import (
    CARD,
    WholeFileIO,
    read_checkpoint,
    relocate_best,
    remove_leftovers,
)
from lipfault.runs.config import parse_config, read_config
from lipfault.runs.fingerprint import BLOCKS, changed_files, fingerprint
from lipfault.runs.folder import RunFolder, keep_metrics, require_inside, restore_metrics
from lipfault.runs.leftovers import drop_leftovers
from lipfault.runs.lock import LOCK_NAME, RunLock
from lipfault.runs.metrics_logger import MetricsLogger
from lipfault.runs.reading import escaped, read_json
from lipfault.runs.resume import refuse_ineffective
from lipfault.runs.trust import foreign_classes, require_trusted

BOMB = 'a: &a [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]\n' + ''.join(
    f'{b}: &{b} [{", ".join([f"*{a}"] * 10)}]\n'
    for a, b in zip('abcdefghi', 'bcdefghij', strict=True)
)


@pytest.mark.parametrize(
    ('content', 'reason'),
    [
        (b'', 'holds nothing'),
        (b'- 1', 'holds list'),
        (b'a: [', 'no valid YAML'),
        (b'name: caf\xe9', 'not UTF-8'),
        (b'a: !!python/object/apply:os.system [ls]', 'no valid YAML'),
        (BOMB.encode(), 'aliases expand to more than'),
        (b'a: &a [*a]', 'contains itself'),
        (b'a: ' + b'[' * 1000, 'nested too deeply'),
        (b'name: "\\e[31mred"', r'"\\x1b\[31mred"'),
        (b'a: 2001-99-99', 'no valid YAML'),
        (b'#' * (1 << 21), 'has 2097152 bytes'),
    ],
    ids=[
        'empty',
        'list',
        'torn',
        'latin',
        'tag',
        'bomb',
        'ring',
        'deep',
        'escape',
        'date',
        'large',
    ],
)
def test_a_hostile_configuration_is_refused_by_name(tmp_path, content, reason):
    file = tmp_path / 'lipfault_config.yaml'
    file.write_bytes(content)
    began = time.process_time()
    with pytest.raises(LipfaultError, match=reason) as refused:
        read_config(file)
    assert str(file) in str(refused.value)
    assert time.process_time() - began < 20  # a bomb that is expanded takes hours


def test_what_is_no_file_is_refused_by_name(tmp_path):
    os.mkfifo(tmp_path / 'pipe')
    (tmp_path / 'loop').symlink_to(tmp_path / 'loop')
    for name in ('pipe', 'loop', '.', 'nothing'):
        with pytest.raises(LipfaultError, match=name.replace('.', tmp_path.name)):
            read_config(tmp_path / name)


def test_aliases_of_a_usual_configuration_are_kept():
    assert parse_config('a: &x {b: 1}\nc: *x', 'here') == {'a': {'b': 1}, 'c': {'b': 1}}


def test_json_is_read_or_refused_by_name(tmp_path):
    file = tmp_path / 'metrics.json'
    file.write_text('{"a": 1}')
    assert read_json(file) == {'a': 1}
    for text in ('[1]', '{"a": ', '[' * 100_000, '{"\\u001b[2J": 1}'):
        file.write_text(text)
        with pytest.raises(LipfaultError, match=r'metrics\.json'):
            read_json(file)


def test_control_characters_are_escaped_and_text_is_not():
    assert escaped('joints é 关节\n') == 'joints é 关节\n'
    assert escaped('\x1b[31m\u202eab\x9b') == '\\x1b[31m\\u202eab\\x9b'


def test_a_failed_write_names_the_file_and_leaves_nothing(tmp_path):
    target = tmp_path / 'metrics.json'
    target.write_text('before')
    with (
        pytest.raises(LipfaultError, match=f'cannot write {target}: No space left'),
        replacing(target, overwrite=True),
    ):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert [(file.name, file.read_text()) for file in tmp_path.iterdir()] == [
        ('metrics.json', 'before')
    ]


def test_metrics_that_cannot_be_written_are_named(tmp_path):
    logger = MetricsLogger(tmp_path)
    logger.log_metrics({'a': 1.0}, step=1)
    logger.experiment.metrics_file_path = '/dev/full'
    with pytest.raises(LipfaultError, match=r'cannot write .*metrics\.csv: No space left'):
        logger.save()


def test_an_error_of_another_file_keeps_its_name(tmp_path):
    with pytest.raises(FileNotFoundError, match='other'), replacing(tmp_path / 'new'):
        (tmp_path / 'other').open()
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize('content', [b'', b'garbage', pickle.dumps(print), b'PK\x03\x04'])
def test_a_file_that_is_no_checkpoint_is_refused_without_bad_advice(tmp_path, content):
    file = tmp_path / 'best.ckpt'
    file.write_bytes(content)
    with pytest.raises(LipfaultError) as refused:
        read_checkpoint(file)
    assert 'weights_only' not in str(refused.value)
    assert str(file) in str(refused.value)


@pytest.mark.parametrize(
    'content',
    [
        {},
        {CARD: 1, 'state_dict': {}},
        {CARD: {'stage': 'finetune'}, 'state_dict': {}},
        {CARD: {'stage': 'finetune', 'description': {'modalities': []}}, 'state_dict': {}},
        {CARD: {'stage': 's', 'description': {'modalities': {}, 'steps': {}}}},
        {
            CARD: {'stage': '\x1b[2J', 'description': {'modalities': {}, 'steps': {}}},
            'state_dict': {},
        },
    ],
)
def test_a_checkpoint_of_another_shape_is_refused_by_name(tmp_path, content):
    torch.save(content, tmp_path / 'best.ckpt')
    with pytest.raises(LipfaultError, match=r'best\.ckpt'):
        read_checkpoint(tmp_path / 'best.ckpt')


def state(folder):
    return {
        'dirpath': str(folder),
        'best_model_score': torch.tensor(0.5),
        'best_model_path': f'{folder}/best.ckpt',
        'kth_best_model_path': f'{folder}/best.ckpt',
        'last_model_path': '',
        'best_k_models': {f'{folder}/best.ckpt': torch.tensor(0.5)},
    }


def test_the_best_checkpoint_follows_a_moved_run(tmp_path):
    old, new = tmp_path / 'a' / 'checkpoints', tmp_path / 'b' / 'checkpoints'
    new.mkdir(parents=True)
    torch.save({'callbacks': {'ModelCheckpoint{}': state(old)}}, new / 'last.ckpt')
    read = WholeFileIO().load_checkpoint(new / 'last.ckpt')['callbacks']['ModelCheckpoint{}']
    assert read == state(new)
    elsewhere = {'callbacks': {'ModelCheckpoint{}': state(tmp_path / 'scratch')}}
    relocate_best(elsewhere, new)
    assert elsewhere['callbacks']['ModelCheckpoint{}'] == state(tmp_path / 'scratch')


def test_a_part_that_is_gone_moves_no_number(tmp_path):
    run = RunFolder(tmp_path)
    for number in range(3):
        run.history.write_text(str(number))
        keep_metrics(tmp_path)
    (tmp_path / 'metrics.part1.csv').unlink()
    run.history.write_text('3')
    assert keep_metrics(tmp_path) == tmp_path / 'metrics.part4.csv'
    assert [part.read_text() for part in run.history_parts] == ['1', '2', '3']
    restore_metrics(tmp_path, None)  # an evaluation puts nothing back
    assert not run.history.exists()


def test_a_part_is_put_back_whatever_the_times_of_the_files(tmp_path):
    run = RunFolder(tmp_path)
    run.history.write_text('old')
    os.utime(keep_metrics(tmp_path), (2e9, 2e9))
    run.history.write_text('new')
    part = keep_metrics(tmp_path)
    restore_metrics(tmp_path, part)
    assert run.history.read_text() == 'new'


def test_other_files_are_no_parts(tmp_path):
    (tmp_path / 'metrics.partial.csv').touch()
    assert RunFolder(tmp_path).history_parts == []


def in_child(run):
    """Try to take the lock of a run in another process; return what it found."""
    receiver, sender = os.pipe()
    if os.fork() == 0:
        try:
            RunLock(run)
            os.write(sender, b'taken')
        except LipfaultError as error:
            os.write(sender, str(error).encode())
        finally:
            os._exit(0)
    os.close(sender)
    with os.fdopen(receiver) as found:
        text = found.read()
    os.wait()
    return text


def test_a_run_is_locked_by_one_process_until_it_ends(tmp_path):
    run = tmp_path / 'run'
    assert in_child(run) == 'taken'  # and its end has given it back, whatever the file holds
    (run / LOCK_NAME).write_text('1\n')  # a process that is alive and holds nothing
    lock = RunLock(run)
    lock.sign()
    assert f'another process ({os.getpid()}) is training in the run folder {run}' in in_child(run)
    lock.release()
    assert in_child(run) == 'taken'


def test_a_lock_follows_no_link(tmp_path):
    (tmp_path / 'run').mkdir()
    (tmp_path / 'run' / LOCK_NAME).symlink_to(tmp_path / 'victim')
    with pytest.raises(LipfaultError, match='cannot be written'):
        RunLock(tmp_path / 'run')
    assert not (tmp_path / 'victim').exists()


@pytest.mark.parametrize(
    ('variables', 'dropped'),
    [
        ({}, set()),
        ({'LOCAL_RANK': '1'}, {'LOCAL_RANK'}),
        ({'NODE_RANK': '1', 'LOCAL_RANK': '0'}, {'NODE_RANK', 'LOCAL_RANK'}),
        ({'RANK': '3', 'WORLD_SIZE': '1'}, {'RANK'}),
        ({'LOCAL_RANK': '0'}, set()),
        ({'NODE_RANK': '1', 'MASTER_ADDR': 'node0', 'MASTER_PORT': '29500'}, set()),
        ({'LOCAL_RANK': '1', 'NODE_RANK': '0', 'WORLD_SIZE': '2'}, set()),
        ({'RANK': '1', 'LOCAL_RANK': '1', 'WORLD_SIZE': '2'}, set()),
    ],
)
def test_numbers_of_processes_count_with_a_launcher_alone(monkeypatch, variables, dropped):
    launch = 'RANK LOCAL_RANK NODE_RANK GROUP_RANK WORLD_SIZE MASTER_ADDR MASTER_PORT'
    for name in launch.split():
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert set(drop_leftovers()) == dropped
    assert {n for n in variables if n in os.environ} == variables.keys() - dropped


def test_a_replaced_file_is_found_at_any_size(tmp_path, monkeypatch):
    monkeypatch.setattr('lipfault.runs.fingerprint.BLOCK', 64)
    file = tmp_path / 'data.h5'
    size = (BLOCKS + 3) * 64 + 17
    with file.open('wb') as sparse:
        sparse.truncate(size)
    before = fingerprint(file)
    assert before['bytes'] == size
    for position in (0, size - 1):
        with file.open('r+b') as changed:
            changed.seek(position)
            changed.write(b'x')
        now = fingerprint(file)
        assert changed_files({'d': before}, {'d': now}) == [
            'the content of d has changed (of the same size)'
        ]
        before = now
    assert fingerprint(tmp_path / 'gone') == {}
    assert changed_files({'d': before}, {'d': {}}) == []
    assert changed_files({}, {'d': before}) == []


def test_nothing_is_written_through_a_link_out_of_the_run(tmp_path):
    run = tmp_path / 'run'
    (tmp_path / 'outside').mkdir()
    run.mkdir()
    (run / 'figures').symlink_to(tmp_path / 'outside')
    for path in (run / 'figures' / 'a.png', run / '..' / 'a.png'):
        with pytest.raises(LipfaultError, match='out of the run'):
            require_inside(run, path)
    require_inside(run, run / 'report.html')
    (tmp_path / 'link').symlink_to(run)
    require_inside(tmp_path / 'link', tmp_path / 'link' / 'report.html')


def test_temporary_files_of_a_killed_save_are_removed(tmp_path):
    run = RunFolder(tmp_path)
    kept = [run.checkpoint('last'), run.metrics]
    gone = [run.checkpoints / '.last.ckpt.x.tmp', tmp_path / '.metrics.json.x.tmp']
    for file in (*kept, *gone):
        file.parent.mkdir(exist_ok=True)
        file.touch()
    remove_leftovers(tmp_path)
    assert all(map(Path.exists, kept))
    assert not any(map(Path.exists, gone))


SETTINGS = {
    'model': {'class_path': 'lipfault.tasks.finetune.FinetuneTask', 'init_args': {}},
    'data': {'path': 'data.recordings/ur5.h5', 'faults': {'held_out': ['bias']}},
}


@pytest.mark.parametrize(
    ('settings', 'key'),
    [
        ({'model': {'class_path': 'mine.Task'}}, 'model.class_path'),
        (
            {'model': {'init_args': {'block': {'kind': 'mine.blocks.Block'}}}},
            'model.init_args.block.kind',
        ),
        ({'data': {'faults': {'held_out': ['bias', 'mine.Fault']}}}, 'data.faults.held_out'),
        ({'data': {'faults': {'kinds': {'mine.Fault': 1.0}}}}, 'data.faults.kinds'),
        ({'trainer': {'callbacks': [{'class_path': 'mine.Call'}]}}, 'trainer.callbacks.class_path'),
        ({'trainer': {'callbacks': ['mine.Call']}}, 'trainer.callbacks'),
    ],
)
def test_a_foreign_class_of_a_run_needs_consent(settings, key):
    assert list(foreign_classes(settings)) == [key]
    with pytest.raises(LipfaultError, match=r'runs/x names the class mine\..*trust_run_code'):
        require_trusted(settings, 'runs/x', consent=False)
    require_trusted(settings, 'runs/x', consent=True)


def test_classes_of_lipfault_and_paths_of_files_need_none():
    assert foreign_classes(SETTINGS) == {}
    assert json.dumps(SETTINGS)  # plain types


@pytest.mark.parametrize(
    ('change', 'refused'),
    [
        ('model.init_args.optimizer.lr is 0.1, was 0.001', True),
        ('model.init_args.optimizer.lr_scale.block.* is 2.0, was nothing', True),
        ('model.init_args.config.modulation.corrector.*.target is 5.0, was 3.0', True),
        ('seed_everything is 1, was 0', True),
        ('model.init_args.optimizer.new is 1, was nothing', False),
        ('model.init_args.losses.rec is 1.0, was 3.0', False),
        ('data.batch_size is 32, was 16', False),
    ],
)
def test_what_has_no_effect_on_a_resumed_run_is_refused(change, refused):
    if refused:
        with pytest.raises(LipfaultError, match='a resumed run cannot change it'):
            refuse_ineffective([change])
    else:
        refuse_ineffective([change])
