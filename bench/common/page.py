"""The page of benchmarks, docs/benchmarks.md: its sections are written by the scripts."""

import argparse
from pathlib import Path

from lipfault import __version__

ROOT = Path(__file__).parents[2]
PAGE = ROOT / 'docs/benchmarks.md'
MEASURED = f'Measured with lipfault {__version__}.'
"""Sentence below the heading of a section."""


def parser_of(description: str | None) -> argparse.ArgumentParser:
    """Return a parser with the option `--write`.

    Args:
        description: Docstring of the script; its first line is printed.
    """
    parser = argparse.ArgumentParser(description=(description or '').partition('\n')[0])
    parser.add_argument('--write', action='store_true', help=f'write it to docs/{PAGE.name}')
    return parser


def put_section(section: str, text: str, write: bool = True) -> None:
    """Print a section, and replace it in the page or append it there.

    Args:
        section: Title of the section, the first line of the text without `## `.
        text: The section in Markdown.
        write: Whether to write the page.
    """
    print(text)
    if not write:
        return
    page = PAGE.read_text() if PAGE.exists() else '# Benchmarks\n'
    before, _, rest = page.partition(f'## {section}\n')
    _, mark, after = rest.partition('\n## ')
    PAGE.write_text(before.rstrip() + '\n\n' + text + (mark + after if mark else ''))
