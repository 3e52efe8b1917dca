"""Reading run folders: what is there, what is missing, what is damaged."""

import json
import math
import shutil
from pathlib import Path

import numpy as np
import pytest

from lipfault.errors import LipfaultError
from lipfault.report.results import NothingToShow, Results
from lipfault.report.run import load_run


def test_history_leaves_out_empty_cells(tmp_path: Path) -> None:
    (tmp_path / 'metrics.csv').write_text('epoch,step,train/loss,val/loss\n0,9,3.5,\n0,19,,2.5\n')
    history = load_run(tmp_path).history
    assert {name: (c.step.tolist(), c.value.tolist()) for name, c in history.items()} == {
        'train/loss': ([9.0], [3.5]),
        'val/loss': ([19.0], [2.5]),
    }


def test_history_of_a_resumed_run_has_all_parts(tmp_path: Path) -> None:
    """What a part repeats of the one before counts once; the tenth part comes after the second."""
    logs = {
        'metrics.part2.csv': 'step,epoch,loss,val\n3,0,7.0,\n',
        'metrics.part10.csv': 'step,epoch,loss,val\n4,1,6.0,\n5,1,,0.4\n6,1,5.5,\n',
        'metrics.csv': 'step,epoch,loss,val\n5,1,,0.5\n6,1,5.0,\n',
    }
    for name, text in logs.items():
        (tmp_path / name).write_text(text)
    history = load_run(tmp_path).history
    assert {name: (c.step.tolist(), c.value.tolist()) for name, c in history.items()} == {
        'loss': ([3, 4, 6], [7.0, 6.0, 5.0]),
        'val': ([5], [0.5]),
    }
    assert list(history) == ['loss', 'val']  # the same in every process


def test_null_metrics_are_nan_and_texts_are_left_out(tmp_path: Path) -> None:
    (tmp_path / 'metrics.json').write_text('{"a": 1, "b": null, "c": "text"}')
    metrics = load_run(tmp_path).metrics
    assert metrics['a'] == 1.0
    assert math.isnan(metrics['b'])
    assert 'c' not in metrics


@pytest.mark.parametrize('stage', [1, 2])
def test_stage_is_told_from_the_content(stage: int, request: pytest.FixtureRequest) -> None:
    assert load_run(request.getfixturevalue(f'stage_{stage}')).stage == stage


def test_folder_must_exist(tmp_path: Path) -> None:
    with pytest.raises(LipfaultError, match=r'nowhere: no such run folder'):
        load_run(tmp_path / 'nowhere')


def test_folder_without_metrics_is_refused(tmp_path: Path) -> None:
    (tmp_path / 'lipfault_config.yaml').write_text('a: 1')
    with pytest.raises(LipfaultError, match=r'metrics\.json .* metrics\.csv'):
        load_run(tmp_path)


@pytest.mark.parametrize(
    ('name', 'content', 'message'),
    [
        ('metrics.json', '{"a": 1', r'metrics\.json: not valid JSON'),
        ('metrics.json', '[1]', r'metrics\.json: must hold one JSON object, got list'),
        ('environment.json', 'null', r'environment\.json: must hold one JSON object'),
        ('metrics.csv', 'step,val/loss\n1,x\n', r"metrics\.csv, line 2, column 'val/loss'.*'x'"),
        ('metrics.csv', 'step,val/loss\n1,2,3\n', r'metrics\.csv, line 2'),
        ('results.npz', 'PK no archive', r'results\.npz: damaged'),
    ],
)
def test_damaged_files_are_named(tmp_path: Path, name: str, content: str, message: str) -> None:
    (tmp_path / 'metrics.json').write_text('{}')
    (tmp_path / name).write_text(content)
    with pytest.raises(LipfaultError, match=message):
        load_run(tmp_path)


@pytest.mark.parametrize('share', [0.1, 0.5, 0.99])
def test_truncated_results_are_named(tmp_path: Path, stage_1: Path, share: float) -> None:
    shutil.copy(stage_1 / 'metrics.json', tmp_path)
    whole = (stage_1 / 'results.npz').read_bytes()
    (tmp_path / 'results.npz').write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(LipfaultError, match=r'results\.npz: damaged'):
        load_run(tmp_path)


def test_pickled_objects_are_refused(tmp_path: Path) -> None:
    (tmp_path / 'metrics.json').write_text(json.dumps({'skill/a': 0.5}))
    np.savez(tmp_path / 'results.npz', modalities=np.array([{}], dtype=object))
    with pytest.raises(LipfaultError, match='damaged'):
        load_run(tmp_path)


@pytest.mark.parametrize(
    ('arrays', 'message'),
    [
        ({}, r'no results\.npz'),
        ({'kinds': np.array(['bias'])}, "no 'seen/faulty'"),
        ({'seen/faulty': np.array([True])}, "no 'seen/modality'"),
    ],
)
def test_missing_results_are_named(arrays: dict[str, np.ndarray], message: str) -> None:
    with pytest.raises(NothingToShow, match=message):
        Results(arrays).splits()


def test_scores_that_are_not_numbers_are_not_shown(stage_2: Path) -> None:
    results = load_run(stage_2).results
    arrays = {**results.arrays, 'seen/score': np.full(1200, np.nan)}
    with pytest.raises(NothingToShow, match='NaN'):
        Results(arrays).splits()


def test_modality_without_examples_is_named(stage_2: Path) -> None:
    arrays = {**load_run(stage_2).results.arrays, 'examples/camera/clean': np.zeros((0,))}
    with pytest.raises(NothingToShow, match="no example of 'camera'"):
        Results(arrays).examples('camera')


def test_the_pooled_energy_of_an_older_run_is_not_the_headline(tmp_path: Path) -> None:
    (tmp_path / 'metrics.csv').write_text('step,val/corrector/energy_left\n9,0.25\n')
    older = {'corrector/energy_left': 0.1, 'corrector/energy_left_unseen': 0.2, 'detection/f1': 1.0}
    (tmp_path / 'metrics.json').write_text(json.dumps(older))
    run = load_run(tmp_path)
    assert run.metrics == {
        'corrector/energy_left_pooled': 0.1,
        'corrector/energy_left_pooled_unseen': 0.2,
        'detection/f1': 1.0,
    }
    assert list(run.history) == ['val/corrector/energy_left_pooled']
    newer = {'corrector/energy_left': 0.5, 'corrector/energy_left_pooled': 0.1}
    (tmp_path / 'metrics.json').write_text(json.dumps(newer))
    assert load_run(tmp_path).metrics == newer
