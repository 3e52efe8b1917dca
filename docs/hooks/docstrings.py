"""Griffe extension: two forms of our docstrings that the site would show wrongly."""

import re
from typing import Any

from griffe import Class, Extension, Object

# From the first prompt to the next blank line or the end, with the indentation of the prompt.
_SESSION = re.compile(r'^(?P<indent>[ \t]*)>>> .*?(?=\n[ \t]*\n|\Z)', re.MULTILINE | re.DOTALL)


class Docstrings(Extension):
    """Fences interactive sessions, and takes the arguments of a named tuple for its attributes."""

    def on_object(self, *, obj: Object, **_: Any) -> None:  # noqa: ANN401
        """Put a fence around each session, which Markdown would take for a quotation.

        Args:
            obj: A module, class, function or attribute.
        """
        if obj.docstring is not None and '>>> ' in obj.docstring.value:
            obj.docstring.value = _SESSION.sub(_fenced, obj.docstring.value)

    def on_class(self, *, cls: Class, **_: Any) -> None:  # noqa: ANN401
        """Describe the fields of a named tuple, whose constructor griffe does not know.

        Args:
            cls: A class.
        """
        if cls.docstring is not None and any('NamedTuple' in str(base) for base in cls.bases):
            cls.docstring.value = re.sub(
                r'^Args:', 'Attributes:', cls.docstring.value, flags=re.MULTILINE
            )


def _fenced(session: re.Match[str]) -> str:
    indent = session['indent']
    return f'{indent}```pycon\n{session[0].rstrip()}\n{indent}```'
