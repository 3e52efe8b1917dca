"""MkDocs hook: list the names that can be imported from a package, linked to their modules.

The packages import their names on first use, from a stub beside `__init__.py`. A page of the
reference holds a comment in the place of the list: `<!-- names of lipfault.faults -->`.
"""

import ast
import re
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
_MARK = re.compile(r'^<!-- names of ([\w.]+) -->$', re.MULTILINE)


def on_page_markdown(markdown: str, **_: Any) -> str:  # noqa: ANN401
    """Fill the lists of one page.

    Args:
        markdown: Text of the page.

    Returns:
        The text with a list of links in the place of each mark.
    """
    return _MARK.sub(lambda found: _listed(found[1]), markdown)


def _listed(package: str) -> str:
    """One line of links; empty for a package without a stub."""
    stub = ROOT / package.replace('.', '/') / '__init__.pyi'
    if not stub.is_file():
        return ''
    links = [
        f'<autoref identifier="{package}.{node.module}.{name.name}" optional>'
        f'<code>{name.asname or name.name}</code></autoref>'
        for node in ast.parse(stub.read_text()).body
        if isinstance(node, ast.ImportFrom) and node.module
        for name in node.names
    ]
    return f'Names to import from `{package}`: ' + ', '.join(links) + '.'
