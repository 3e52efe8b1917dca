from pathlib import Path

import pytest

from lipfault.cells.registry import CELLS
from lipfault.cells.tables import channel_table

PAGE = Path(__file__).parents[2] / 'docs' / 'cells.md'


@pytest.mark.parametrize('name', sorted(CELLS))
def test_the_page_shows_the_current_channels_and_a_picture(name):
    text = PAGE.read_text()
    assert f'## `{name}`' in text
    assert channel_table(CELLS[name]) in text, 'paste the output of lipfault.cells.tables'
    assert (PAGE.parent / 'images' / f'cell_{name}.png').is_file()
    assert f'images/cell_{name}.png' in text
