"""Two processes train together, and measure what one process alone measures."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from forked import command
from test_stages import COMMON, FAULTS, FINETUNE
from tiny_models import PRETRAIN

from lipfault.faults.log import read_log
from lipfault.report.run import load_run

ROOT = Path(__file__).parents[2]
DIARY = '''
import json
from pathlib import Path
from lightning.pytorch.utilities import rank_zero_only
from lipfault.callbacks.spectral import SpectralNormMonitor


class Diary(SpectralNormMonitor):
    """Writes the norms that each process has seen."""

    def measure(self, pl_module, batch):
        values = super().measure(pl_module, batch)
        folder = Path(pl_module.trainer.default_root_dir)
        with (folder / f'norms-{rank_zero_only.rank}.jsonl').open('a') as file:
            file.write(json.dumps(values) + chr(10))
        return values
'''
CALLBACKS = """
  callbacks:
    - class_path: diary.Diary
      init_args: {every: 1}
    - class_path: lipfault.callbacks.jacobian.JacobianMonitor
      init_args: {every: 3}
"""
PAIR = ('--trainer.devices', 2, '--trainer.strategy', 'ddp')
ALONE = ('--trainer.devices', 1, '--trainer.strategy', 'auto')


@pytest.fixture(scope='module')
def folder(tiny_recording, tmp_path_factory):
    """Configurations of both stages; their runs go here, too."""
    folder = tmp_path_factory.mktemp('processes')
    (folder / 'diary.py').write_text(DIARY)
    for stage, model in (('pretrain', PRETRAIN), ('finetune', FINETUNE)):
        text = model + COMMON.format(path=tiny_recording, stage=stage)
        # Only process 0 has a bar; after an epoch without validation it must not wait for others.
        text = text.replace('enable_progress_bar: false', 'check_val_every_n_epoch: 2')
        if stage == 'finetune':
            text = text.replace('  window_s', FAULTS + '  window_s').rstrip() + CALLBACKS
        (folder / f'{stage}.yaml').write_text(text)
    return folder


def lipfault(folder, *args):
    status, printed = command(args, os.environ | {'PYTHONPATH': f'{folder}:{ROOT}'})
    assert status == 0, printed[-6000:]
    return printed


@pytest.fixture(scope='module')
def runs(folder):
    """Both stages, each trained by two processes."""
    one, two = (folder / name for name in ('pretrain', 'finetune'))
    as_a_user_does = [sys.executable, '-m', 'lipfault', 'fit', '--config', f'{one}.yaml']
    subprocess.run(
        [*as_a_user_does, '--run', one, *map(str, PAIR)], check=True, timeout=300, cwd=folder
    )
    printed = lipfault(
        folder, 'fit', '--config', f'{two}.yaml', '--run', two, '--model.pretrained', one,
        '--report=true', *PAIR,
    )  # fmt: skip
    assert printed.count('report.html') == 1  # by one process only
    return folder


@pytest.mark.ddp
@pytest.mark.slow
def test_both_processes_hold_the_same_norms(runs):
    pages = [(runs / 'finetune' / f'norms-{rank}.jsonl').read_text() for rank in (0, 1)]
    assert pages[0] == pages[1]
    assert len(pages[0].splitlines()) == 4


@pytest.mark.ddp
@pytest.mark.slow
@pytest.mark.parametrize('stage', ['pretrain', 'finetune'])
def test_two_processes_measure_what_one_measures(runs, tmp_path, stage):
    metrics = {}
    for name, processes in (('alone', ALONE), ('pair', PAIR)):
        run = tmp_path / name
        config = runs / stage / 'lipfault_config.yaml'
        options = ('--ckpt_path', runs / stage, '--run', run, '--data.batch_size', 4)
        options += ('--report=false',)
        lipfault(runs, 'test', '--config', config, *options, *processes)
        metrics[name] = load_run(run).metrics
    assert metrics['pair'] == pytest.approx(metrics['alone'], rel=1e-6, abs=1e-6, nan_ok=True)


@pytest.mark.ddp
@pytest.mark.slow
def test_two_processes_predict_and_validate(runs, tmp_path):
    told = {}
    for name, processes in (('alone', ALONE), ('pair', PAIR)):
        run = tmp_path / name
        lipfault(runs, 'predict', '--ckpt_path', runs / 'finetune', '--run', run, *processes)
        lines = read_log(run / 'predictions.jsonl')
        told[name] = {line['sample_id']: line['score'] for line in lines}
        assert len(lines) == len(told[name]) > 0  # each window once
    assert told['pair'] == pytest.approx(told['alone'], rel=1e-5, abs=1e-5)
    printed = lipfault(runs, 'validate', '--ckpt_path', runs / 'pretrain', *PAIR)
    assert printed.count('Validate metric') == 1  # by one process only
