"""A sweep file means the same here as to the agent of W&B."""

from itertools import pairwise
from pathlib import Path

import pytest
from agent_command import as_agent

from lipfault.errors import LipfaultError
from lipfault.sweeps.definition import Choice, Range, read_sweep

ROOT = Path(__file__).parents[2]
FILES = sorted(ROOT.glob('experiments/*/full.yaml')) + sorted(ROOT.glob('experiments/*/quick.yaml'))
GOOD = """
method: random
metric: {name: val/loss, goal: minimize}
parameters:
  model.losses.sim: {min: 0.01, max: 10.0, distribution: log_uniform_values}
  model.losses.con: {values: [0.1, 1]}
  data.seed: {min: 1, max: 4}
  data.batch_size: {value: 8}
command: ['${env}', '${interpreter}', -m, lipfault, fit, '${args}']
"""


@pytest.mark.parametrize('path', FILES, ids=lambda path: path.name)
def test_command_is_that_of_the_agent(path: Path, monkeypatch) -> None:
    monkeypatch.setenv('STAGE1', 'runs/a b/pretrain')
    sweep = read_sweep(path)
    point = sweep.grid()[1]
    ours, theirs = sweep.arguments(point), as_agent(path, point)
    assert Path(ours[1]).name.startswith('python')
    assert theirs[1] == 'python'
    assert ours[2:] == theirs[2:]
    assert 'runs/a b/pretrain' in ours


@pytest.mark.parametrize('path', FILES, ids=lambda path: path.name)
def test_files_that_a_command_names_exist(path: Path, monkeypatch) -> None:
    monkeypatch.setenv('STAGE1', 'runs')
    words = read_sweep(path).arguments({})
    configs = [b for a, b in pairwise(words) if a == '--config']
    assert configs
    assert all((ROOT / config).is_file() for config in configs)


def test_a_file_is_read(tmp_path: Path) -> None:
    (tmp_path / 'sweep.yaml').write_text(GOOD)
    parameters = read_sweep(tmp_path / 'sweep.yaml').parameters
    assert parameters == {
        'model.losses.sim': Range(0.01, 10.0, whole=False, logarithmic=True),
        'model.losses.con': Choice((0.1, 1)),
        'data.seed': Range(1, 4, whole=True),
        'data.batch_size': Choice((8,)),
    }


def test_grid_holds_every_combination_once(tmp_path: Path) -> None:
    grid = read_sweep(ROOT / 'experiments/lambda_sweep/quick.yaml').grid()
    assert len(grid) == len({tuple(point.values()) for point in grid}) == 6


@pytest.mark.parametrize(
    ('old', 'new', 'message'),
    [
        ('method: random', 'method: guess', "method: must be one of .* got 'guess'"),
        ('method: random', 'method: grid', 'a grid needs values for every parameter'),
        ('goal: minimize', 'goal: least', 'metric: needs a name and a goal'),
        ('{min: 1, max: 4}', '{min: 4, max: 1}', 'parameters.data.seed: needs value'),
        ('{value: 8}', '{mu: 8}', 'parameters.data.batch_size.mu: not supported'),
        ('{value: 8}', '{min: 8}', 'parameters.data.batch_size: needs value'),
        ('method: random', 'method: random\nearly_terminate: {}', 'early_terminate: not supported'),
        ('log_uniform_values', 'beta', "distribution 'beta' is not supported offline"),
        ('min: 0.01', 'min: 0.0', 'must begin above 0'),
        ("'${args}'", 'args', r'command: must be given and hold \$\{args\}'),
        ('method: random', 'method: [', 'is no YAML'),
        ('method: random', 'method: 2024-13-45', 'is no YAML'),
        ('method: random', 'method: ' + 5000 * '[', 'is no YAML'),
    ],
)
def test_invalid_files_are_named(tmp_path: Path, old: str, new: str, message: str) -> None:
    (tmp_path / 'sweep.yaml').write_text(GOOD.replace(old, new))
    with pytest.raises(LipfaultError, match=message):
        read_sweep(tmp_path / 'sweep.yaml')


def test_missing_file_and_missing_variable_are_named(tmp_path: Path, monkeypatch) -> None:
    with pytest.raises(LipfaultError, match='no sweep file at'):
        read_sweep(tmp_path / 'nowhere.yaml')
    monkeypatch.delenv('STAGE1', raising=False)
    with pytest.raises(LipfaultError, match='environment variable STAGE1'):
        read_sweep(ROOT / 'experiments/lambda_sweep/quick.yaml').arguments({})
