"""Numbers in the pages equal committed results.

A number in an answer must be a rounding of some result of its experiment; a mistyped one may equal
another result by chance. The large tables are compared cell by cell.
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from experiments.runner.pairs import METRICS
from experiments.runner.results import over_seeds

ROOT = Path(__file__).parents[2]
PAGES = sorted((ROOT / 'experiments').glob('*/README.md'))


def leaves(values: object) -> Iterator[float]:
    """Yield all numbers in a JSON file."""
    if isinstance(values, dict):
        for value in values.values():
            yield from leaves(value)
    elif isinstance(values, list):
        for value in values:
            yield from leaves(value)
    elif isinstance(values, int | float):
        yield float(values)


def answer(page: Path) -> str:
    """Return the answer in an experiment's page."""
    return page.read_text().partition('## Answer')[2]


def unfounded(text: str, known: list[float]) -> list[str]:
    """Return decimals, and integers of three digits and more, that round no known number."""
    found = []
    for number in re.findall(r'(?<![\w.])-?\d+\.\d+|(?<![\w.])\d{3,}(?![\w.])', text):
        decimals = len(number.partition('.')[2])
        if not any(round(value, decimals) == float(number) for value in known):
            found.append(number)
    return found


@pytest.mark.parametrize('page', PAGES, ids=lambda p: p.parent.name)
def test_answers_are_in_the_results(page):
    results = sorted(page.parent.glob('**/results.json'))
    known = [v for path in results for v in leaves(json.loads(path.read_text()))]
    assert unfounded(answer(page), known) == []


def test_an_unfounded_number_is_found():
    assert unfounded('recall 0.87 of 2000, not 0.91', [0.8712, 2000.0]) == ['0.91']


def test_the_results_page_is_made_of_the_results():
    """Compare the rows of docs/results.md column by column."""
    results = json.loads((ROOT / 'experiments/main_path/results/results.json').read_text())
    page = (ROOT / 'docs/results.md').read_text()
    rows = re.findall(r'^\| `([^`]+)` \|[^|]*\| (.*) \|$', page, flags=re.MULTILINE)
    assert len(rows) > 10
    for key, cells in rows:
        wanted = [
            over_seeds(m[key] for m in runs.values() if key in m) for runs in results.values()
        ]
        assert cells.split(' | ') == wanted, key


def test_the_table_of_baselines_is_made_of_the_results():
    """Compare metrics by cell and method, and paired differences."""
    results = json.loads((ROOT / 'experiments/baselines/results/results.json').read_text())
    parts = re.split(r'^## ', (ROOT / 'docs/baselines.md').read_text(), flags=re.MULTILINE)[1:]
    assert sorted(part.partition('\n')[0] for part in parts) == sorted(results)
    for part in parts:
        cell = results[part.partition('\n')[0]]
        methods = re.findall(
            r'([\w.]+) \(\d+\)', part.partition('| metric |')[2].partition('\n')[0]
        )
        assert sorted(methods) == list(cell['metrics'])
        rows = re.findall(r'^\| `([^`]+)` \| (.*) \|$', part, flags=re.MULTILINE)
        assert len(rows) > 10
        for key, cells in rows:
            for name, found in zip(methods, cells.split(' | '), strict=True):
                seeds = cell['metrics'][name].values()
                known = [m[key] for m in seeds if key in m]
                some = f' ({len(known)})' if 0 < len(known) < len(seeds) else ''
                assert found == over_seeds(known) + some, (key, name)
        differences = re.findall(r'[-+][\d.e-]+ \[[^]]+\]', part)
        known = [cell[k][n] for k in cell if 'minus' in k for n in cell[k]]
        assert sorted(differences) == sorted(
            '{mean:+.3g} [{low:+.3g}, {high:+.3g}]'.format(**found[metric])
            for found in known
            for metric in METRICS
            if metric in found
        )
