"""A YAML text that is none gives one line with its file."""

import pytest

from lipfault.errors import LipfaultError
from lipfault.importers.yaml_lines import read_lines


@pytest.mark.parametrize(
    'text',
    [
        'a: 2024-13-45',
        'a: !!int x',
        'a: {b: !!float zz}',
        'a: ' + '[' * 5000,
        'a: *x',
        'a: &x [*x]',
        '? [1]\n: 2',
        'a: 1\na: 2',
        'a: !!python/object:os.system x',
    ],
)
def test_a_text_that_is_no_yaml_is_refused_with_its_file(text):
    with pytest.raises(LipfaultError, match=r'^mapping\.yaml(, line \d+)?: '):
        read_lines(text, 'mapping.yaml')


def test_each_value_knows_its_line():
    lines = read_lines('a: 1\nb:\n  c: 2\n', 'mapping.yaml')
    assert lines.value == {'a': 1, 'b': {'c': 2}}
    assert lines.below('b').below('c').line == 3
