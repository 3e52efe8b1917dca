"""The numbers in the picture of the README are those of the committed results."""

import json
import re
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / 'docs/images/make_readme_picture.py'


def test_picture_and_table_agree_with_the_results() -> None:
    spec = spec_from_file_location('make_readme_picture', SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    script = module_from_spec(spec)
    spec.loader.exec_module(script)
    figures = script.figures_of(json.loads(script.RUNS.read_text()), 'fault_map')
    assert all(0 < value < 1 for value in figures.values())

    readme = (ROOT / 'README.md').read_text()
    row = re.search(r'^\| \*\*fault_map\*\*.*$', readme, re.MULTILINE)
    assert row
    _, _, recovery, unseen, _ = (float(v) for v in re.findall(r'\*\*([\d.]+)\*\*', row[0]))
    assert figures['recovery'] == pytest.approx(recovery, abs=5e-4)
    assert figures['recovery_unseen'] == pytest.approx(unseen, abs=5e-4)
    claims = re.search(r'detects (\d+) % of\s.*?corrects (\d+) %', readme, re.DOTALL)
    assert claims
    assert [float(claim) for claim in claims.groups()] == pytest.approx(
        [100 * figures['recall'], 100 * figures['recovery']], abs=0.5
    )
