"""Measurements of a run are cached."""

import json
import math

import pytest

from experiments.runner import run as run_module
from experiments.runner.once import once
from experiments.runner.run import Run


@pytest.fixture
def run(monkeypatch, tmp_path):
    monkeypatch.setattr(run_module, 'ROOT', tmp_path)
    found = Run('quick/a-0/ours', ())
    found.folder.mkdir(parents=True)
    return found


def test_the_second_call_reads_the_cache_in_order(run):
    values = {'z': 1.5, 'a': {'y': math.inf, 'b': [1, 2]}}
    first = once(run, 'size', lambda: values)
    again = once(run, 'size', lambda: pytest.fail('measured again'))
    assert first == again == values
    assert list(first) == list(again) == ['z', 'a']
    assert list(first['a']) == ['y', 'b']


def test_two_measurements_of_a_run_have_a_file_each(run):
    once(run, 'size', lambda: {'n': 1})
    assert once(run, 'speed', lambda: {'n': 2}) == {'n': 2}
    assert json.loads((run.folder / 'size.json').read_text()) == {'n': 1}


def test_a_failed_measurement_leaves_no_file(run):
    with pytest.raises(ZeroDivisionError):
        once(run, 'size', lambda: {'n': 1 / 0})
    assert not list(run.folder.iterdir())
