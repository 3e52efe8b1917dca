"""The JSON files of a run are valid for any parser."""

import json
import math

from lipfault.callbacks.run_recorder import finite_or_null, write_json
from lipfault.report.run import load_run


def test_nan_and_infinity_become_null(tmp_path):
    metrics = {'a': 0.1, 'b': math.nan, 'c': math.inf}
    write_json(tmp_path / 'metrics.json', finite_or_null(metrics))

    def refuse(word):
        raise AssertionError(word)

    text = (tmp_path / 'metrics.json').read_text()
    assert json.loads(text, parse_constant=refuse) == {'a': 0.1, 'b': None, 'c': None}
    read = load_run(tmp_path).metrics
    assert read['a'] == 0.1
    assert math.isnan(read['b'])
