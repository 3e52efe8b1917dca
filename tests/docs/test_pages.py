"""Links between pages lead somewhere, and the site's navigation and reference name what exists."""

import re
from importlib.util import find_spec
from pathlib import Path

import pytest

import lipfault

ROOT = Path(__file__).parents[2]
SITE = (ROOT / 'mkdocs.yml').read_text()
PAGES = sorted([*ROOT.glob('*.md'), *ROOT.glob('docs/**/*.md'), *ROOT.glob('experiments/**/*.md')])
FENCE = re.compile(r'^(```|~~~).*?^\1', re.MULTILINE | re.DOTALL)
LINK = re.compile(r'\]\(([^)\s]+)\)')
GENERATED = {'changelog.md': 'CHANGELOG.md', 'contributing.md': 'CONTRIBUTING.md'}
"""Pages of the site that are files outside `docs/`."""


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def anchors(page: Path) -> set[str]:
    """Anchors of the headings of a page, as GitHub and the site make them."""
    headings = re.findall(r'^#+ (.+)$', FENCE.sub('', page.read_text()), re.MULTILINE)
    words = [re.sub(r'[^\w\s-]', '', heading.lower()).strip() for heading in headings]
    return {re.sub(r'\s', '-', each) for each in words}


@pytest.mark.parametrize('page', PAGES, ids=name_of)
def test_links_lead_somewhere(page: Path) -> None:
    text = FENCE.sub('', page.read_text())
    for link in LINK.findall(text):
        if re.match(r'https?://|mailto:', link):
            continue
        target, _, anchor = link.partition('#')
        path = page if not target else (page.parent / target)
        assert path.exists(), f'{name_of(page)}: no such file {link!r}'
        assert path.resolve().is_relative_to(ROOT), f'{name_of(page)}: {link!r} leaves the project'
        if anchor and path.suffix == '.md':
            assert anchor in anchors(path), f'{name_of(page)}: no heading for {link!r}'


def test_navigation_names_pages_that_exist() -> None:
    nav = SITE[SITE.index('\nnav:') :]
    for name in re.findall(r'([\w/-]+\.md)', nav):
        path = GENERATED.get(name, name if name.startswith('experiments/') else f'docs/{name}')
        assert (ROOT / path).is_file(), f'mkdocs.yml: no page {path}'


def test_navigation_names_every_page() -> None:
    for page in ROOT.glob('docs/**/*.md'):
        name = page.relative_to(ROOT / 'docs').as_posix()
        assert re.search(rf'[ :]{re.escape(name)}$', SITE, re.MULTILINE), f'not in nav: {name}'


@pytest.mark.parametrize('page', sorted(ROOT.glob('docs/reference/*.md')), ids=name_of)
def test_reference_names_modules_that_exist(page: Path) -> None:
    for name in re.findall(r'^::: ([\w.]+)$', page.read_text(), re.MULTILINE):
        assert find_spec(name) is not None, f'{name_of(page)}: there is no module {name}'


def test_reference_covers_every_package() -> None:
    named = ' '.join(page.read_text() for page in ROOT.glob('docs/reference/*.md'))
    packages = ('faults', 'lipschitz', 'data', 'metrics', 'models', 'tasks', 'callbacks')
    for package in packages:
        assert f'::: lipfault.{package}\n' in named


def test_readme_has_a_readable_length() -> None:
    assert len((ROOT / 'README.md').read_text().splitlines()) <= 130


def test_readme_cites_this_version() -> None:
    assert f'version = {{{lipfault.__version__}}}' in (ROOT / 'README.md').read_text()
