"""Facts that stand in two files agree."""

import re
from pathlib import Path

import pytest

import lipfault

ROOT = Path(__file__).parents[1]


def test_citation_has_the_version() -> None:
    citation = (ROOT / 'CITATION.cff').read_text()
    assert f'\nversion: {lipfault.__version__}\n' in citation
    assert 'arXiv:2603.25103' in citation


def test_every_make_target_is_explained() -> None:
    makefile = (ROOT / 'Makefile').read_text()
    phony = re.search(r'^\.PHONY: (.*)$', makefile, flags=re.MULTILINE)
    assert phony
    assert set(phony[1].split()) == set(re.findall(r'^([a-z-]+):.*## ', makefile, re.MULTILINE))


@pytest.mark.parametrize('line', (ROOT / 'constraints.txt').read_text().splitlines())
def test_every_constraint_is_one_version(line: str) -> None:
    assert re.fullmatch(r'[\w.-]+==[\w.]+', line)


@pytest.mark.parametrize('page', ['README.md', 'CONTRIBUTING.md', 'docs/architecture.md'])
def test_links_between_pages_lead_somewhere(page: str) -> None:
    text = (ROOT / page).read_text()
    for target in re.findall(r'\]\(([^)#]+)[^)]*\)', text):
        assert target.startswith('https://') or (ROOT / page).parent.joinpath(target).exists()
