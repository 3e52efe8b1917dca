"""Two processes log one W&B run."""

import json
from pathlib import Path

import pytest
from logged_runs import Logged, run
from run_file import RunFile


@pytest.mark.ddp
@pytest.mark.slow
def test_two_processes_log_one_run(tiny_stages, logged: Logged, tmp_path: Path) -> None:
    pair = ('--trainer.devices', 2, '--trainer.strategy', 'ddp')
    on = ('--config', 'configs/logger/wandb.yaml', '--model.pretrained', logged.root / 'pretrain')
    folder = tmp_path / 'pair' / 'finetune'
    run('fit', *tiny_stages['finetune'], *on, *pair, '--run', folder)
    run('test', '--ckpt_path', folder, '--report=false', *pair)

    files = {f.job_type: f for f in map(RunFile, folder.glob('wandb/*run-*/*.wandb'))}
    assert len(list(folder.rglob('*.wandb'))) == len(files) == 2
    alone = logged.files['finetune']
    assert files['finetune'].names == alone.names
    assert str(files['finetune'].config['trainer']['devices']) == '2'
    steps = [row['finetune/step'] for row in files['finetune'].rows if 'train/loss' in row]
    assert steps == sorted(set(steps))  # once each, not once for each process
    measured = json.loads((folder / 'metrics.json').read_text())
    (logged_test,) = (r for r in files['test'].rows if 'detection/f1' in r)
    assert logged_test['detection/f1'] == pytest.approx(measured['detection/f1'], nan_ok=True)
