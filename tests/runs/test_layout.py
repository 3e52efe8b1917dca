"""Every file of a run is where `RunFolder` says."""

from pathlib import Path

import pytest

from lipfault.errors import LipfaultError
from lipfault.runs.folder import RunFolder, find_checkpoint, keep_metrics, restore_metrics
from lipfault.runs.group import group_of


@pytest.mark.parametrize(
    ('path', 'run'),
    [
        ('runs/a', 'runs/a'),
        ('runs/a/checkpoints/best.ckpt', 'runs/a'),
        ('alone/best.ckpt', 'alone'),
        ('runs/v1.2', 'runs/v1.2'),
    ],
)
def test_a_checkpoint_belongs_to_a_run(path, run):
    assert RunFolder.of(path) == RunFolder(Path(run))


def test_a_file_of_any_name_is_a_checkpoint(tmp_path):
    (tmp_path / 'weights').touch()
    assert RunFolder.of(tmp_path / 'weights').path == tmp_path


def test_checkpoints_are_found_in_the_order_of_preference(tmp_path):
    run = RunFolder(tmp_path)
    with pytest.raises(LipfaultError, match='has no checkpoint: looked for'):
        find_checkpoint(tmp_path)
    run.checkpoints.mkdir()
    run.checkpoint('last').touch()
    assert find_checkpoint(tmp_path) == run.checkpoint('last')
    run.checkpoint('best').touch()
    assert find_checkpoint(tmp_path) == run.checkpoint('best')
    assert find_checkpoint(tmp_path, 'last') == run.checkpoint('last')
    assert find_checkpoint(run.checkpoint('last')) == run.checkpoint('last')


def test_the_history_of_a_resumed_run_has_parts_in_order(tmp_path):
    run = RunFolder(tmp_path)
    for number in range(11):
        run.history.write_text(str(number))
        keep_metrics(tmp_path)
    assert [part.read_text() for part in run.history_parts] == [str(n) for n in range(11)]
    assert not run.history.exists()
    restore_metrics(tmp_path, run.history_parts[-1])
    assert run.history.read_text() == '10'
    assert len(run.history_parts) == 10


def test_a_run_without_stage_1_is_named_after_its_experiment(tmp_path):
    assert group_of(tmp_path / 'x' / 'second', None) == 'x'
    first = RunFolder(tmp_path / 'x' / 'first')
    first.path.mkdir(parents=True)
    first.config.write_text('group: named\n')
    assert group_of(tmp_path / 'second', str(first.checkpoint('best'))) == 'named'
