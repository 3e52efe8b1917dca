"""MkDocs hook: pages of the repository outside `docs/` become pages of the site.

GitHub follows a link from `docs/results.md` to `../experiments/README.md` as it is; the site gets
that file as a page of its own. A link to any other file of the repository leads to a copy of it.
"""

import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[2]
RENAMED = {
    'README.md': 'index.md',  # the site has a front page of its own
    'CHANGELOG.md': 'changelog.md',
    'CONTRIBUTING.md': 'contributing.md',
}
_LINK = re.compile(r'(?<=\]\()([^)\s]+)(?=\))')
_FENCE = re.compile(r'^(```|~~~).*?^\1', re.MULTILINE | re.DOTALL)


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the changelog, the guide for contributors and the pages of the experiments.

    Args:
        files: The files below `docs/`.
        config: Configuration of the site.

    Returns:
        All files of the site.
    """
    pages = [ROOT / name for name in RENAMED if name != 'README.md']
    pages += sorted((ROOT / 'experiments').rglob('*.md'))
    for page in pages:
        path = page.relative_to(ROOT).as_posix()
        uri = RENAMED.get(path, path)
        files.append(File.generated(config, uri, content=page.read_text()))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Lead the links of one page to the site's own pages and files.

    Args:
        markdown: Text of the page.
        page: The page.
        config: Configuration of the site.
        files: All files of the site; what is linked to is added.

    Returns:
        The text with the links of the site.
    """
    here = page.file.src_uri

    def lead(found: re.Match[str]) -> str:
        target, mark, anchor = found[1].partition('#')
        if not target or ':' in target:
            return found[1]
        uri = _uri(posixpath.normpath(posixpath.join(posixpath.dirname(_path(here)), target)))
        if files.get_file_from_path(uri) is None and (ROOT / uri).is_file():
            files.append(File.generated(config, uri, abs_src_path=str(ROOT / uri)))
        return posixpath.relpath(uri, posixpath.dirname(here) or '.') + mark + anchor

    return _outside_code(markdown, lambda text: _LINK.sub(lead, text))


def _path(uri: str) -> str:
    """Path in the repository of a page of the site."""
    original = {new: old for old, new in RENAMED.items() if old != 'README.md'}
    outside = uri.startswith('experiments/')
    return original.get(uri, uri if outside else f'docs/{uri}')


def _uri(path: str) -> str:
    """Address in the site of a file of the repository, or of the page that stands for a folder."""
    for name in ('README.md', 'results.md', 'results.json'):
        if (ROOT / path / name).is_file():
            path = f'{path}/{name}'
            break
    return RENAMED.get(path, path.removeprefix('docs/'))


def _outside_code(markdown: str, change: Any) -> str:  # noqa: ANN401
    """Change the text between fenced blocks of code."""
    parts, start = [], 0
    for block in _FENCE.finditer(markdown):
        parts += [change(markdown[start : block.start()]), block[0]]
        start = block.end()
    return ''.join([*parts, change(markdown[start:])])
