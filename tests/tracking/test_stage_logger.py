"""What a run logs to W&B is whole, and logging changes nothing."""

import csv
import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml
from logged_runs import Logged, environment, run
from run_file import RunFile
from wandb_server import serving

from lipfault.report.run import load_run
from lipfault.runs.checkpoints import read_checkpoint
from lipfault.runs.folder import find_checkpoint
from lipfault.runs.group import group_of

KEY = 'k' * 40
DROPPED = 'Steps must be monotonically increasing'


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return read_checkpoint(find_checkpoint(folder, 'last'))['state_dict']


def test_stages_and_test_are_three_runs_of_one_group(logged: Logged) -> None:
    assert set(logged.files) == {'pretrain', 'finetune', 'test'}
    for job, file in logged.files.items():
        stage = 'pretrain' if job == 'pretrain' else 'finetune'
        assert file.run.run_group == 'tiny-experiment'
        assert file.run.display_name == f'tiny-experiment/{stage}'
        assert file.run.project == 'lipfault'


@pytest.mark.parametrize('stage', ['pretrain', 'finetune'])
def test_configuration_is_logged_once_and_nested(logged: Logged, stage: str) -> None:
    file = logged.files[stage]
    saved = yaml.safe_load((logged.root / stage / 'lipfault_config.yaml').read_text())
    assert {k: v for k, v in file.config.items() if k != '_wandb'} == saved
    assert isinstance(saved['model']['init_args']['optimizer'], dict)
    later = [item.key for record in file.of('config') for item in record.update]
    assert set(later) <= {'_wandb'}


@pytest.mark.parametrize('job', ['pretrain', 'finetune', 'test'])
def test_each_job_has_its_own_step_axis(logged: Logged, job: str) -> None:
    axes = {m.glob_name: m.step_metric for m in logged.files[job].of('metric') if m.glob_name}
    assert axes == {'*': f'{job}/step'}
    assert all(f'{job}/step' in row for row in logged.files[job].rows)


@pytest.mark.parametrize('stage', ['pretrain', 'finetune'])
def test_nothing_is_dropped(logged: Logged, stage: str) -> None:
    """Every number of metrics.csv is in the run file at its step, and W&B's own steps only rise."""
    file = logged.files[stage]
    logged_at = {
        (row[f'{stage}/step'], name): value for row in file.rows for name, value in row.items()
    }
    with (logged.root / stage / 'metrics.csv').open() as lines:
        cells = [
            (int(row['step']), name, float(cell))
            for row in csv.DictReader(lines)
            for name, cell in row.items()
            if cell and name not in ('step', 'epoch')
        ]
    assert len(cells) > 10
    for step, name, number in cells:
        assert float(logged_at[step, name]) == pytest.approx(number, nan_ok=True, rel=1e-6), name
    internal = [row['_step'] for row in file.rows]
    assert internal == list(range(len(internal)))


def test_no_run_is_warned_of_dropped_steps(logged: Logged, tmp_path: Path) -> None:
    assert DROPPED not in logged.printed
    assert 'sizes do not match' not in logged.printed  # of pictures
    code = (
        'import wandb\n'
        "with wandb.init(mode='offline') as run:\n"
        "    run.log({'a': 1}, step=5)\n    run.log({'a': 2}, step=4)"
    )
    done = subprocess.run(
        [sys.executable, '-c', code],
        capture_output=True,
        text=True,
        check=True,
        cwd=tmp_path,
        env=environment(),
    )
    assert DROPPED in done.stderr, 'W&B words its warning differently now'


def test_results_of_the_test_are_those_of_metrics_json(logged: Logged) -> None:
    metrics = load_run(logged.root / 'finetune').metrics
    (row,) = logged.files['test'].rows
    for name, value in metrics.items():
        assert row[name] == pytest.approx(value, nan_ok=True, rel=1e-5)


@pytest.mark.parametrize('stage', ['pretrain', 'finetune'])
def test_samples_are_drawn_and_sent(logged: Logged, stage: str) -> None:
    drawn = {path.name for path in (logged.root / stage / 'samples').iterdir()}
    assert {f'{name}-000000.png' for name in ('camera', 'joints')} <= drawn
    (row,) = [row for row in logged.files[stage].rows if 'samples/table' in row]
    assert row['samples/pictures']['count'] == len(drawn)
    assert {f'{name}-000000.png' for name in row['samples/pictures']['captions']} == drawn
    table = next((logged.files[stage].path.parent / 'files').rglob('*.table.json'))
    content = json.loads(table.read_text())
    assert content['columns'] == ['step', 'modality', 'kind', 'severity', 'energy_left']
    assert all(entry[4] >= 0 for entry in content['data'])


@pytest.mark.parametrize('stage', ['pretrain', 'finetune'])
def test_training_is_bit_identical_without_callbacks_and_loggers(
    logged: Logged, tiny_stages, stage: str, tmp_path: Path
) -> None:
    args = [*tiny_stages[stage], '--trainer.callbacks=null', '--run', tmp_path / 'plain']
    if stage == 'finetune':
        args += ['--model.pretrained', logged.root / 'pretrain']
    run('fit', *args)
    assert not (tmp_path / 'plain' / 'wandb').exists()
    alone, watched = weights(tmp_path / 'plain'), weights(logged.root / stage)
    assert alone.keys() == watched.keys()
    for name, value in alone.items():
        assert torch.equal(value, watched[name]), name


def test_server_lost_in_the_middle_costs_nothing(logged: Logged, tiny_stages, tmp_path) -> None:
    """The run ends well and with the same weights, and a later sync sends every row."""
    with serving(lost_when_used=True) as server:
        run(
            'fit', *tiny_stages['pretrain'], '--run', tmp_path / 'cut', '--loggers=[wandb]',
            WANDB_API_KEY=KEY, WANDB_BASE_URL=server.url, WANDB_FINISH_TIMEOUT='3',
        )  # fmt: skip
        assert server.lost
    for name, value in weights(logged.root / 'pretrain').items():
        assert torch.equal(value, weights(tmp_path / 'cut')[name]), name
    (path,) = (tmp_path / 'cut').glob('wandb/run-*/*.wandb')
    rows = RunFile(path).rows
    assert len(rows) > 3
    with serving() as server:
        subprocess.run(
            [sys.executable, '-m', 'wandb', 'sync', '--no-skip-online', str(path.parent)],
            check=True,
            capture_output=True,
            timeout=120,
            cwd=tmp_path,
            env=environment(WANDB_API_KEY=KEY, WANDB_BASE_URL=server.url),
        )
        assert server.history == rows


def test_server_unreachable_from_the_start_means_offline(tiny_stages, tmp_path: Path) -> None:
    printed = run(
        'fit', *tiny_stages['pretrain'], '--run', tmp_path / 'run', '--loggers=[wandb]',
        '--trainer.max_epochs', 1, '--trainer.callbacks=null',
        WANDB_API_KEY=KEY, WANDB_BASE_URL='http://127.0.0.1:9', WANDB_INIT_TIMEOUT='2',
    )  # fmt: skip
    assert 'W&B cannot be used now, logging offline' in printed
    (path,) = (tmp_path / 'run').glob('wandb/offline-run-*/*.wandb')
    assert 'train/loss' in RunFile(path).names


def test_group_is_that_of_stage_one(tmp_path: Path) -> None:
    (tmp_path / 'first' / 'checkpoints').mkdir(parents=True)
    (tmp_path / 'first' / 'config.yaml').write_text('group: named\n')
    for given in ('first', 'first/checkpoints/best.ckpt'):
        assert group_of(tmp_path / 'second', str(tmp_path / given), 'config.yaml') == 'named'
    assert group_of(tmp_path / 'x' / 'second', None, 'config.yaml') == 'x'
