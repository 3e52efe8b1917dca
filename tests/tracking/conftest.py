"""A run of each stage and a test, logged to W&B offline, on the tiny recording."""

import pytest
from logged_runs import DATA, MODELS, Logged, run
from run_file import RunFile


@pytest.fixture(scope='session')
def tiny_stages(tiny_recording, tmp_path_factory) -> dict[str, list[object]]:
    """Arguments of `fit` for each stage: the shipped configurations, made tiny."""
    folder = tmp_path_factory.mktemp('tiny')
    found: dict[str, list[object]] = {}
    for stage, model in MODELS.items():
        (folder / f'{stage}.yaml').write_text(model + DATA.format(path=tiny_recording))
        found[stage] = ['--config', f'configs/{stage}.yaml', '--config', folder / f'{stage}.yaml']
    return found


@pytest.fixture(scope='session')
def logged(tiny_stages, tmp_path_factory) -> Logged:
    """Both stages and a test, all callbacks and W&B on."""
    root = tmp_path_factory.mktemp('runs') / 'tiny-experiment'
    on = ['--config', 'configs/logger/wandb.yaml', '--loggers=[tensorboard,wandb]']
    printed = run('fit', *tiny_stages['pretrain'], *on, '--run', root / 'pretrain')
    printed += run(
        'fit', *tiny_stages['finetune'], *on, '--run', root / 'finetune',
        '--model.pretrained', root / 'pretrain',
    )  # fmt: skip
    printed += run('test', '--ckpt_path', root / 'finetune', '--report=false')
    files = [RunFile(path) for path in root.glob('*/wandb/*run-*/*.wandb')]
    return Logged(root, {file.job_type: file for file in files}, printed)
