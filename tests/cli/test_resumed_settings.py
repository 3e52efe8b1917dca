"""Derived settings of a resumed run are those of the run, not those of its stage 1."""

import shutil

import pytest
import yaml
from tiny_models import FINETUNE, PRETRAIN

from lipfault.cli.main import main
from lipfault.runs.config import read_config
from lipfault.runs.folder import RunFolder

pytestmark = pytest.mark.filterwarnings('ignore')

SETTINGS = """
report: false
data:
  path: {path}
  batch_size: null
  window_s: null
  stride_s: null
  history_s: null
  splits: {{pretrain: 0.34, finetune: 0.34, calibration: 0.16, test: 0.16}}
  train_split: {stage}
  faults: {{kinds: {{series: 1, image: 1}}}}
trainer:
  max_epochs: 1
  limit_train_batches: 1
  num_sanity_val_steps: 0
  accelerator: cpu
  enable_progress_bar: false
  enable_model_summary: false
"""
LENGTHS = ['--data.window_s=0.64', '--data.stride_s=0.2', '--data.history_s=0.3']


@pytest.fixture(scope='module')
def trained(tiny_recording, tmp_path_factory):
    """A run of each stage; stage 2 has another stride than its stage 1."""
    root = tmp_path_factory.mktemp('resumed')
    for stage, model in (('pretrain', PRETRAIN), ('finetune', FINETUNE)):
        (root / f'{stage}.yaml').write_text(
            model + SETTINGS.format(path=tiny_recording, stage=stage)
        )
    main(['fit', '--config', f'{root}/pretrain.yaml', '--run', f'{root}/pretrain', *LENGTHS])
    main([*words(root), '--run', f'{root}/finetune', '--data.stride_s=0.1'])
    return root


def words(root):
    return ['fit', '--config', f'{root}/finetune.yaml', '--model.pretrained', f'{root}/pretrain']


def settings(run):
    data = read_config(RunFolder(run).config)['data']
    return {key: data[key] for key in ('window_s', 'stride_s', 'history_s', 'batch_size')}


@pytest.fixture
def run(trained, tmp_path):
    shutil.copytree(trained / 'finetune', tmp_path / 'run')
    return tmp_path / 'run'


def resume(root, run, checkpoint='last'):
    main([*words(root), '--run', f'{run}', f'--ckpt_path={checkpoint}', '--trainer.max_epochs=2'])


def test_a_resumed_run_keeps_its_own_settings(trained, run):
    before = settings(run)
    assert before['stride_s'] == 0.1
    assert before['window_s'] == 0.64
    resume(trained, run)
    assert settings(run) == before


def test_a_run_that_goes_on_in_another_folder_takes_its_settings_along(trained, run, tmp_path):
    resume(trained, tmp_path / 'other', run)
    assert settings(tmp_path / 'other') == settings(run)


def test_a_resumed_run_needs_no_stage_one(trained, run, tmp_path):
    (trained / 'pretrain').rename(tmp_path / 'gone')
    try:
        resume(trained, run)
    finally:
        (tmp_path / 'gone').rename(trained / 'pretrain')


@pytest.mark.parametrize(
    ('damage', 'message'),
    [
        ({'data': 3}, 'data must hold settings by name, holds 3'),
        ({'data': {'window_s': -1.0}}, 'data.window_s: must be above 0'),
        ({'trainer': {'max_epochs': 1.5}}, 'trainer.max_epochs: must be a whole number'),
    ],
)
def test_a_damaged_configuration_is_named(trained, run, damage, message, capsys):
    RunFolder(run).config.write_text(yaml.safe_dump(damage))
    file = trained / 'finetune.yaml'
    text = file.read_text()
    file.write_text(text.replace('max_epochs: 1', 'max_epochs: null'))
    with pytest.raises(SystemExit):
        main([*words(trained), '--run', f'{run}', '--ckpt_path=last'])
    file.write_text(text)
    printed = ' '.join(capsys.readouterr().err.split())
    assert message in printed
    assert str(RunFolder(run).config) in printed
