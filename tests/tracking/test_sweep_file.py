"""The sweep files train through the command line as W&B starts it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from agent_command import as_agent
from logged_runs import ROOT, Logged, environment

SWEEPS = sorted(ROOT.glob('experiments/*/full.yaml'))


@pytest.mark.parametrize('path', SWEEPS, ids=lambda path: path.parent.name)
def test_command_of_the_agent_trains(
    path: Path, logged: Logged, tiny_stages, tmp_path: Path, monkeypatch
) -> None:
    """Its very command line, then what makes it tiny; its dotted keys reach the configuration."""
    monkeypatch.setenv('STAGE1', str(logged.root / 'pretrain'))
    values = {'model.losses.sim': 0.37, 'model.losses.con': 0.013}
    assert set(values) == set(yaml.safe_load(path.read_text())['parameters'])
    tiny = tiny_stages['finetune'][-2:]
    interpreters = f'{Path(sys.executable).parent}:{os.environ["PATH"]}'
    done = subprocess.run(
        [*as_agent(path, values), *map(str, tiny), '--run', str(tmp_path / 'run'),
         '--trainer.max_epochs=1'],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        cwd=ROOT,
        env=environment(PATH=interpreters, WANDB_SWEEP_ID='s', WANDB_RUN_ID='r1'),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    saved = yaml.safe_load((tmp_path / 'run' / 'lipfault_config.yaml').read_text())
    losses = saved['model']['init_args']['losses']
    assert (losses['sim'], losses['con']) == (0.37, 0.013)
    assert saved['model']['init_args']['block']['kind'] == 'paper'
    assert saved['group'] == 'tiny-experiment'
    (file,) = (tmp_path / 'run').glob('wandb/offline-run-*/*.wandb')
    assert file.name == 'run-r1.wandb'
