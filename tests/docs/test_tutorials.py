"""Every block of the tutorials runs, in order, with the settings that the pages show."""

import os
import re
import shlex
import sys
from collections.abc import Iterator
from contextlib import chdir
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from forked import command

ROOT = Path(__file__).parents[2]
TUTORIALS = ROOT / 'docs/tutorials'
FIRST = 'own-data'
"""The page whose recording and runs the other pages use."""
BLOCK = re.compile(r'^```(\w+)(?: title="([^"]+)")?\n(.*?)^```$', re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Block:
    """One fenced block of a page: its language, the file it shows if any, its text and line."""

    language: str
    title: str | None
    text: str
    line: int


def blocks(page: str) -> list[Block]:
    """All fenced blocks of a tutorial, in order."""
    text = (TUTORIALS / f'{page}.md').read_text()
    return [
        Block(found[1], found[2], found[3], text[: found.start()].count('\n') + 2)
        for found in BLOCK.finditer(text)
    ]


def run_page(page: str, folder: Path) -> int:
    """Run a page in a folder; return the number of blocks that were written or run."""
    names: dict[str, Any] = {'__name__': f'tutorial_{page.replace("-", "_")}'}
    count = 0
    for block in blocks(page):
        if block.title:
            (folder / block.title).write_text(block.text)
        elif block.language == 'python':
            # Blank lines in front, so that a traceback has the line of the page.
            source = '\n' * (block.line - 1) + block.text
            with chdir(folder):
                exec(compile(source, str(TUTORIALS / f'{page}.md'), 'exec'), names)
        elif block.language == 'bash':
            run_commands(block, page, folder)
        else:
            continue
        count += 1
    return count


def run_commands(block: Block, page: str, folder: Path) -> None:
    """Run the commands of a block, each of which must be one of lipfault."""
    variables = {**os.environ, 'PYTHONPATH': str(folder), 'WANDB_MODE': 'offline'}
    for line in block.text.replace('\\\n', ' ').splitlines():
        words = shlex.split(line, comments=True)
        if not words:
            continue
        where = f'{page}.md, line {block.line}: {line}'
        assert words[0] == 'lipfault', f'{where}: only lipfault commands can be run'
        status, printed = command(words[1:], variables, folder)
        assert status == 0, f'{where}: status {status}, printed: {printed}'


@pytest.fixture(scope='module')
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder in which the first tutorial was run, with the repository's configurations."""
    folder = tmp_path_factory.mktemp('tutorials')
    (folder / 'configs').symlink_to(ROOT / 'configs')
    sys.path.insert(0, str(folder))
    try:
        run_page(FIRST, folder)
        yield folder
    finally:
        sys.path.remove(str(folder))


@pytest.mark.slow
@pytest.mark.filterwarnings('ignore:.*treated as missing:UserWarning')
@pytest.mark.parametrize('page', sorted(p.stem for p in TUTORIALS.glob('*.md')))
def test_tutorial_runs(page: str, workshop: Path) -> None:
    """The first page runs in the fixture, once for all."""
    if page == FIRST:
        assert (workshop / 'runs/motor/finetune/metrics.json').is_file()
    else:
        assert run_page(page, workshop)


@pytest.mark.slow
def test_readme_example_runs(workshop: Path) -> None:
    """With the run and the recording of the first tutorial in the place of the demo's."""
    links = {'runs/demo': 'runs/motor', 'data/ur5.h5': 'motor.h5'}
    for link, target in links.items():
        (workshop / link).parent.mkdir(exist_ok=True)
        (workshop / link).symlink_to(workshop / target)
    readme = (ROOT / 'README.md').read_text()
    (example,) = re.findall(r'```python\n(.*?)```', readme, flags=re.DOTALL)
    with chdir(workshop):
        exec(compile(example, 'README.md', 'exec'), {})
