"""docs/theory.md has the sections that code and pages cite."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / 'docs/theory.md').read_text()
SECTIONS = [
    '1 Terms',
    '2 Criteria',
    '3 Locality',
    '4 Composition',
    '5 The detection-correction trade-off',
    '6 Gains and selectivity',
    '7 The fault gain matrix',
    '8 Modulation',
    '9 Correction as a posterior mean',
    '10 Checks',
    'References',
]
CITATION = re.compile(r'docs/theory\.md`?,\s+sections?\s+((?:\d+(?:,\s+|\s+and\s+)?)+)')
FOLDERS = ('lipfault', 'docs', 'experiments')


def texts(*folders):
    """(path, text with line breaks inside comments and docstrings joined) of code and pages."""
    for folder in folders:
        for path in sorted((ROOT / folder).rglob('*')):
            if path.suffix in ('.py', '.pyi', '.md', '.yaml', '.html'):
                yield path.relative_to(ROOT), re.sub(r'\s*\n\s*#?\s*', ' ', path.read_text())


def test_the_page_has_its_sections():
    assert re.findall(r'^## (.+)$', PAGE, flags=re.MULTILINE) == SECTIONS


def test_citations_are_found():
    one = CITATION.findall('docs/theory.md, section 7); docs/theory.md, sections 1 and 6, and')
    assert [re.findall(r'\d+', found) for found in one] == [['7'], ['1', '6']]
    assert any(CITATION.search(text) for _, text in texts('lipfault'))


@pytest.mark.parametrize('folder', FOLDERS)
def test_every_section_cited_exists(folder):
    numbers = {section.split()[0] for section in SECTIONS}
    for path, text in texts(folder):
        for cited in CITATION.findall(text):
            assert set(re.findall(r'\d+', cited)) <= numbers, f'{path}: {cited}'


def test_the_package_cites_the_page_alone():
    stale = [str(path) for path, text in texts('lipfault') if re.search(r'THEORY\W{0,3}\d', text)]
    assert not stale, f'cite docs/theory.md, section N in {stale}'


def test_every_numbered_reference_is_cited_and_listed():
    listed = {int(n) for n in re.findall(r'^(\d+)\. [A-Z]\. ', PAGE, flags=re.MULTILINE)}
    prose = re.sub(r'\$[^$]*\$', '', PAGE)  # an interval of a formula is no citation
    groups = re.findall(r'\[((?:\d+(?:, )?)+)\]', prose)
    assert {int(number) for group in groups for number in group.split(', ')} == listed
    assert listed == set(range(1, 14))


def test_formulas_are_closed():
    assert PAGE.count('$$') % 2 == 0
    inline = re.sub(r'\$\$.*?\$\$', '', PAGE, flags=re.DOTALL)
    for paragraph in inline.split('\n\n'):
        assert paragraph.count('$') % 2 == 0, paragraph
