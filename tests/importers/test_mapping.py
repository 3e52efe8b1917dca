"""A mapping is read and written by one grammar; what is wrong is named by line, key and column."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lipfault.errors import LipfaultError
from lipfault.importers.mapping import Entry, parse_mapping, read_mapping, write_mapping
from lipfault.importers.propose import modality_name, propose
from lipfault.importers.selection import select
from lipfault.importers.source import Field

FIELDS = {
    'observation.state': Field('observation.state', 'series', ('a', 'b', 'c'), ('rad', '', 'm')),
    'imu': Field('imu', 'series', ('a', 'z'), ('g', 'g')),
    'observation.images.top': Field(
        'observation.images.top', 'image', ('red', 'green', 'blue'), ('1',) * 3, 30.0, (4, 6)
    ),
}  # fmt: skip

FULL = """
arm:
  columns: ['observation.state[0:2]', 'imu[z]']
  kind: series
  rate: 50
  channels: [q, v, z]
  units: {q: rad}
  low: -1e0
  high: [1, 2, 3]
  noise: {v: 1e-3}
  missing: -999
  offset: -0.25
  groups: {encoder: [q, v]}
  derived: [z]
eye:
  columns: observation.images.top
"""


def test_a_full_mapping():
    mapping = parse_mapping(FULL)
    assert mapping['arm'] == Entry(
        'arm',
        ('observation.state[0:2]', 'imu[z]'),
        'series',
        50.0,
        ('q', 'v', 'z'),
        {'q': 'rad'},
        -1.0,
        (1.0, 2.0, 3.0),
        {'v': 0.001},
        None,
        (-999.0,),
        -0.25,
        {'encoder': ('q', 'v')},
        ('z',),
    )
    arm, eye = select(mapping, FIELDS)
    assert [(part.field.name, part.channels) for part in arm.parts] == [
        ('observation.state', (0, 1)),
        ('imu', (1,)),
    ]
    assert arm.channels == ('q', 'v', 'z')
    assert arm.units == ('rad', 'unknown', 'g')
    assert arm.each('noise') == (None, 0.001, None)
    assert arm.each('low') == (-1.0, -1.0, -1.0)
    assert eye.kind == 'image'
    assert eye.channels == ('red', 'green', 'blue')


names = st.from_regex(r'[a-z_][a-z0-9_]{0,8}', fullmatch=True).filter(str.isidentifier)
numbers = st.floats(-1e6, 1e6)


@given(
    st.dictionaries(
        names,
        st.builds(
            dict,
            columns=st.lists(
                st.text('ab[]:.# \'"', min_size=1), min_size=1, max_size=3, unique=True
            ).map(lambda each: tuple(each)),
            rate=st.none() | st.floats(1e-3, 1e4),
            units=st.none()
            | st.text('m/s^2°µ ', min_size=1)
            | st.dictionaries(names, names, min_size=1),
            low=st.none() | numbers | st.lists(numbers, min_size=1).map(tuple),
            missing=st.lists(numbers, max_size=3).map(tuple),
            offset=numbers,
            groups=st.dictionaries(names, st.lists(names, min_size=1).map(tuple), max_size=2),
        ),
        min_size=1,
        max_size=3,
    )
)
def test_what_is_written_is_read_back(entries):
    mapping = {name: Entry(name, **values) for name, values in entries.items()}
    text = write_mapping(
        list(mapping.values()), {'': ['remark: [', 'two'], next(iter(mapping)): ['x']}
    )
    assert parse_mapping(text) == mapping


WRONG = {
    'no YAML': ('arm: [', r'line \d+: no YAML'),
    'empty': ('', 'must hold modalities'),
    'twice': ('arm: {columns: a}\narm: {columns: b}', "line 2: key 'arm' occurs twice"),
    'key twice': ('arm:\n  columns: a\n  columns: b', "line 3: key 'columns' occurs twice"),
    'unknown key': (
        'arm:\n  columns: a\n  nosie: 1',
        "line 3: arm: there is no key 'nosie'; there",
    ),
    'no columns': ('arm:\n  rate: 3', 'line 1: arm: needs columns'),
    'no entry': ('arm: 3', 'line 1: arm: must hold columns'),
    'bad name': ('my arm: {columns: a}', "line 1: modality 'my arm'"),
    'bad kind': (
        'arm:\n  columns: a\n  kind: film',
        'line 3: arm.kind: must be "series" or "image"',
    ),
    'bad rate': ('arm:\n  columns: a\n  rate: 0', 'line 3: arm.rate: must be a positive number'),
    'text': ('arm:\n  columns: a\n  low: [1, x]', 'line 3: arm.low: must be a number for all'),
    'NaN': ('arm:\n  columns: a\n  high: .nan', 'line 3: arm.high'),
    'bad noise': ('arm:\n  columns: a\n  noise: -1', 'line 3: arm.noise: must be a positive'),
    'bad groups': ('arm:\n  columns: a\n  groups: [q]', 'line 3: arm.groups: must be a dictionary'),
    'column twice': ('arm:\n  columns: [a, b, a]', "line 2: arm: column 'a' is named twice"),
}


@pytest.mark.parametrize('name', WRONG)
def test_wrong_text_is_named_by_line_and_key(name, tmp_path):
    text, message = WRONG[name]
    path = tmp_path / 'map.yaml'
    path.write_text(text)
    with pytest.raises(LipfaultError, match=message) as caught:
        read_mapping(path)
    assert str(path) in str(caught.value)


def test_a_missing_or_binary_file_is_named(tmp_path):
    with pytest.raises(LipfaultError, match=r'none.yaml cannot be read'):
        read_mapping(tmp_path / 'none.yaml')
    (tmp_path / 'x.yaml').write_bytes(b'\xff\xfe\x00')
    with pytest.raises(LipfaultError, match=r'x.yaml cannot be read'):
        read_mapping(tmp_path / 'x.yaml')


UNFIT = {
    'no field': ('arm: {columns: stat}', "no field 'stat'; there are observation.state, imu"),
    'no channel': ('arm: {columns: "imu[q]"}', "imu has no channel 'q'; there are 0 to 1: a, z"),
    'no number': ('arm: {columns: "imu[7]"}', "no channel '7'"),
    'bad range': ('arm: {columns: "imu[0:9]"}', "no channel '0:9'"),
    'overlap': (
        'arm: {columns: ["imu[a]", "imu[0]"]}', r"column imu\[a\] is taken twice: by 'arm' and by",
    ),
    'shared': ('arm: {columns: imu}\nbody: {columns: "imu[z]"}', r"by 'arm' and by 'body'"),
    'kinds': ('arm: {columns: [imu, observation.images.top]}', 'of kind image and series'),
    'kind': ('arm: {columns: imu, kind: image}', 'of kind series, stated is image'),
    'part of an image': ('eye: {columns: "observation.images.top[red]"}', 'takes one field with'),
    'channels': ('arm: {columns: imu, channels: [x]}', 'arm.channels: needs 2 different names'),
    'units': ('arm: {columns: imu, units: [x, y, z]}', 'arm.units: needs one value, or one'),
    'unknown': ('arm: {columns: imu, units: {q: m}}', "arm.units: there is no channel 'q'; there"),
}  # fmt: skip


@pytest.mark.parametrize('name', UNFIT)
def test_a_mapping_that_does_not_fit_the_source(name):
    text, message = UNFIT[name]
    with pytest.raises(LipfaultError, match=message):
        select(parse_mapping(text), FIELDS)


def test_a_mapping_that_does_not_fit_is_named_by_file_and_line(tmp_path):
    path = tmp_path / 'map.yaml'
    for line, keys in enumerate(('columns: nope', 'kind: image', 'units: [m]', 'noise: {q: 1}')):
        columns = '' if 'columns' in keys else '  columns: imu\n'
        path.write_text(f'# remark\narm:\n{columns}  {keys}\n')
        where = f'{path}, line {4 if line else 3}: arm'
        with pytest.raises(LipfaultError) as caught:
            select(read_mapping(path), FIELDS)[0].each('noise')
        assert str(caught.value).startswith(where)


def test_equal_names_of_two_fields_get_their_field():
    (arm,) = select(parse_mapping('arm: {columns: [observation.state, imu]}'), FIELDS)
    assert arm.channels[0] == 'observation.state.a'
    assert arm.channels[3] == 'imu.a'


def test_a_proposal_takes_every_field_once():
    mapping = propose(FIELDS)
    assert {name: entry.columns for name, entry in mapping.items()} == {
        'state': ('observation.state',),
        'imu': ('imu',),
        'top': ('observation.images.top',),
    }
    assert len(select(mapping, FIELDS)) == 3
    names = ('/imu', 'imu ', 'obs/imu')
    fields = {name: Field(name, 'series', ('a',), ('',)) for name in names}
    assert list(propose(fields)) == ['imu', 'imu_2', 'imu_3']


@given(st.text(max_size=20))
def test_names_of_modalities_are_identifiers(text):
    assert modality_name(text).isidentifier()
    assert np.char.isalnum(modality_name(text).replace('_', 'x'))
