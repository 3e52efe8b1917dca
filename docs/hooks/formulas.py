"""MkDocs hook: formulas become MathML when the site is built, so that no page needs a script.

`pymdownx.arithmatex` marks `$...$` and `$$...$$`; browsers draw MathML themselves, offline too.
"""

import html
import re
from typing import Any

from latex2mathml.converter import convert

_INLINE = re.compile(r'<span class="arithmatex">\\\((.*?)\\\)</span>', re.DOTALL)
_DISPLAY = re.compile(r'<div class="arithmatex">\\\[(.*?)\\\]</div>', re.DOTALL)


def on_page_content(content: str, **_: Any) -> str:  # noqa: ANN401
    """Replace the formulas of one page.

    Args:
        content: The page as HTML, formulas in LaTeX.

    Returns:
        The page with MathML.
    """
    content = _DISPLAY.sub(lambda found: _mathml(found[1], 'block'), content)
    return _INLINE.sub(lambda found: _mathml(found[1], 'inline'), content)


def _mathml(escaped: str, display: str) -> str:
    """MathML of one formula; its LaTeX stays as the title, to be copied."""
    latex = html.unescape(escaped).strip()
    return convert(latex, display=display)
