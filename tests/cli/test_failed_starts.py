"""A fit that fails at its start removes its own files alone."""

import subprocess
import sys

import pytest
from tiny_models import PRETRAIN

from lipfault.cli import lightning
from lipfault.cli.main import main
from lipfault.errors import LipfaultError

pytestmark = pytest.mark.filterwarnings('ignore')

SETTINGS = """
report: false
data: {{path: {path}, window_s: 0.64, stride_s: 0.2, history_s: 0.3, batch_size: 8}}
trainer: {{max_epochs: 1, limit_train_batches: 1, accelerator: cpu}}
"""
OTHER = """
import sys
from pathlib import Path
from lipfault.runs.lock import RunLock
run = Path(sys.argv[1])
lock = RunLock(run)
(run / 'work').mkdir()
(run / 'work' / 'weights').write_text('of the other')
print('locked', flush=True)
sys.stdin.read()
"""


@pytest.fixture
def words(tiny_recording, tmp_path):
    """The words of a fit in a folder that does not exist yet."""
    file = tmp_path / 'pretrain.yaml'
    file.write_text(PRETRAIN + SETTINGS.format(path=tiny_recording))
    return ['fit', '--config', str(file), '--run', str(tmp_path / 'run')]


@pytest.mark.parametrize('fails_before', [False, True])
@pytest.mark.parametrize('ends', [False, True])
def test_a_folder_that_another_process_takes_in_the_meantime_is_kept(
    words, tmp_path, monkeypatch, fails_before, ends
):
    run, pipe, check_fit = tmp_path / 'run', subprocess.PIPE, lightning.check_fit
    others = []

    def start_another(*args):
        others.append(
            subprocess.Popen([sys.executable, '-c', OTHER, str(run)], stdin=pipe, stdout=pipe)
        )
        assert others[0].stdout.readline() == b'locked\n'
        if ends:
            others[0].communicate()
        if fails_before:
            raise LipfaultError('no such fit')
        check_fit(*args)

    monkeypatch.setattr(lightning, 'check_fit', start_another)
    try:
        with pytest.raises(SystemExit):
            main(words)
    finally:
        others[0].communicate()
    assert (run / 'work' / 'weights').read_text() == 'of the other'


def test_a_fit_that_fails_at_its_first_batch_leaves_its_folder_empty(words, tmp_path, monkeypatch):
    def fail(*_):
        raise LipfaultError('the first batch fails')

    monkeypatch.setattr('lipfault.tasks.pretrain.PretrainTask.training_step', fail)
    with pytest.raises(SystemExit):
        main(words)
    assert list((tmp_path / 'run').iterdir()) == []
