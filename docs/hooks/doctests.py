"""Griffe extension: the interactive sessions in docstrings become blocks of code."""

import re
from typing import Any

from griffe import Extension, Object

# From the first prompt to the next blank line or the end, with the indentation of the prompt.
_SESSION = re.compile(r'^(?P<indent>[ \t]*)>>> .*?(?=\n[ \t]*\n|\Z)', re.MULTILINE | re.DOTALL)


class DoctestBlocks(Extension):
    """Puts a fence around each session, which Markdown would take for a quotation."""

    def on_object(self, *, obj: Object, **_: Any) -> None:  # noqa: ANN401
        """Change the docstring of one object before it is parsed.

        Args:
            obj: A module, class, function or attribute.
        """
        if obj.docstring is not None and '>>> ' in obj.docstring.value:
            obj.docstring.value = _SESSION.sub(_fenced, obj.docstring.value)


def _fenced(session: re.Match[str]) -> str:
    indent = session['indent']
    return f'{indent}```pycon\n{session[0].rstrip()}\n{indent}```'
