"""Tables of text in the dialects of real loggers; what is wrong is named by line and column."""

import numpy as np
import pytest

from lipfault.errors import LipfaultError
from lipfault.importers.readers.csv import CsvSource
from lipfault.importers.readers.registry import open_source


def read(source, field=None, episode=None):
    chunks = list(source.read(episode or source.episodes[0], field or next(iter(source.fields))))
    return (
        np.concatenate([chunk.times_s for chunk in chunks]),
        np.concatenate([chunk.values for chunk in chunks]),
    )


def written(path, text, encoding='utf-8'):
    path.write_bytes(text.encode(encoding))
    return path


PLAIN = 'time [s],speed [m/s],load\n0.0,1.5,-3\n0.1,2.5e0,.5\n0.2,,7\n'
SAME = {
    'plain': PLAIN,
    'BOM': '\ufeff' + PLAIN,
    'CRLF': PLAIN.replace('\n', '\r\n'),
    'quotes': PLAIN.replace('time [s]', '"time [s]"').replace('1.5', '"1.5"'),
    'tabs': PLAIN.replace(',', '\t'),
    'decimal commas': PLAIN.replace(',', ';').replace('.', ','),
    'ms': PLAIN.replace('[s]', '[ms]').replace('0.1,', '100,').replace('0.2,', '200,'),
    'ns': PLAIN.replace('time [s]', 'time_ns')
    .replace('0.1,', '100000000,')
    .replace('0.2,', '2e8,'),
    'spaces': PLAIN.replace('speed [m/s]', ' speed (m/s)'),
    'text column': 'note,' + PLAIN.replace('\n', '\nok,', 3),
    'NaN': PLAIN.replace('0.2,,', '0.2,NaN,'),
}


@pytest.mark.parametrize('name', SAME)
def test_dialects_give_the_same_numbers(name, tmp_path):
    source = CsvSource(written(tmp_path / 'log.csv', SAME[name]))
    (field,) = source.fields.values()
    assert (field.name, field.channels) == ('log', ('speed', 'load'))
    assert field.units == ('m/s', '')
    times, values = read(source)
    np.testing.assert_allclose(times, [0, 0.1, 0.2], rtol=1e-12)
    np.testing.assert_array_equal(values, [[1.5, -3], [2.5, 0.5], [np.nan, 7]])
    assert bool(source.notes) == (name == 'text column')


def test_latin_1_units(tmp_path):
    path = written(tmp_path / 'log.csv', 'Zeit;Winkel [°]\n0,0;1,5\n0,1;2\n', 'latin-1')
    source = CsvSource(path)
    assert source.fields['log'].units == ('°',)
    np.testing.assert_array_equal(read(source)[1][:, 0], [1.5, 2])


EPOCHS = {
    'ms': ('1700000000250', 1700000000.25),
    'us': ('1700000000250000', 1700000000.25),
    'ns': ('1700000000250000000', 1700000000.25),
    's': ('1700000000.25', 1700000000.25),
    'UTC': ('2023-11-14T22:13:20.250Z', 1700000000.25),
    'offset': ('2023-11-15 00:13:20.25+02:00', 1700000000.25),
    'without offset': ('2023-11-14 22:13:20.25', 1700000000.25),
}


@pytest.mark.parametrize('name', EPOCHS)
def test_epochs_and_dates(name, tmp_path):
    text, seconds = EPOCHS[name]
    source = CsvSource(written(tmp_path / 'log.csv', f'timestamp,x\n{text},1\n{text},2\n'))
    np.testing.assert_allclose(read(source)[0], seconds, atol=1e-6, rtol=0)


def test_offsets_of_summer_and_winter_time_are_one_clock(tmp_path):
    text = 'date,x\n2023-10-29T02:59:59+02:00,1\n2023-10-29T02:00:00+01:00,2\n'
    times, _ = read(CsvSource(written(tmp_path / 'log.csv', text)))
    assert np.diff(times).tolist() == [1.0]


def test_many_rows_come_in_chunks(tmp_path):
    rows = np.random.default_rng(0).normal(size=(40000, 2))
    rows[:, 0] = np.arange(40000) / 1000
    path = tmp_path / 'log.csv'
    np.savetxt(path, rows, delimiter=',', header='t,x', comments='', fmt='%.17g')
    source = CsvSource(path)
    assert len(list(source.read('log', 'log'))) > 1
    times, values = read(source)
    np.testing.assert_array_equal(np.column_stack((times, values)), rows)


def test_rows_of_a_column_become_episodes(tmp_path):
    text = 'run,t,x\nb,0,1\nb,1,2\na,0,3\na,1,4\n'
    source = CsvSource(written(tmp_path / 'log.csv', text), episode='run')
    assert source.episodes == ['b', 'a']
    assert read(source, episode='a')[1].tolist() == [[3], [4]]
    assert source.fields['log'].channels == ('x',)


def test_folders(tmp_path):
    for name in ('one', 'two'):
        written(tmp_path / f'{name}.csv', 't,x\n0,1\n')
    assert CsvSource(tmp_path).episodes == ['one', 'two']
    assert list(CsvSource(tmp_path).fields) == ['table']
    assert list(CsvSource(tmp_path, files='fields').fields) == ['one', 'two']
    written(tmp_path / 'two.csv', 't,y\n0,1\n')
    source = open_source(tmp_path)
    assert len(source.episodes) == 1
    assert list(source.fields) == ['one', 'two']
    deep = tmp_path / 'deep'
    for run in ('r1', 'r2'):
        (deep / run).mkdir(parents=True)
        written(deep / run / 'imu.csv', 't,x\n0,1\n')
        written(deep / run / 'arm.csv', 't,q\n0,1\n')
    source = CsvSource(deep)
    assert source.episodes == ['r1', 'r2']
    assert list(source.fields) == ['arm', 'imu']


WRONG = {
    'empty': ('', {}, 'is empty'),
    'binary': ('a\0b', {}, 'null bytes'),
    'no row': ('t,x\n', {}, 'has a header and no row'),
    'no header': ('0,1\n2,3\n', {}, 'first line must name the columns'),
    'column twice': ('t,x,x\n0,1,2\n', {}, "column 'x' occurs twice"),
    'no time': ('a,b\n0,1\n', {}, 'no column of time stamps is recognized among a, b; name it'),
    'unknown time': ('t,x\n0,1\n', {'time': 'clock'}, "no column 'clock' .time.; there are t, x"),
    'unknown episode': ('t,x\n0,1\n', {'episode': 'run'}, "no column 'run'"),
    'unknown unit': ('t,x\n0,1\n', {'time_unit': 'h'}, "time_unit must be one of s, .*got 'h'"),
    'no numbers': ('t,x\n0,a\n', {}, 'no column holds numbers; the columns are t, x'),
    'text': ('t,x\n0,1\n1,2\n2,oops\n', {}, "line 4, column 'x': 'oops' is no number"),
    'comma': ('t;x\n0;1.5\n1;2.5\n2;3,5\n', {}, "line 4, column 'x': '3,5' is no number; with a"),
    'bad date': ('t,x\n2023-01-01,1\nyesterday,2\n', {}, "column 't', line 3: 'yesterday'"),
    'bad files': ('t,x\n0,1\n', {'files': 'rows'}, 'files must be "episodes" or "fields"'),
    'bad option': ('t,x\n0,1\n', {'tiem': 't'}, "there is no option 'tiem'"),
}  # fmt: skip


@pytest.mark.parametrize('name', WRONG)
def test_wrong_tables_are_named(name, tmp_path):
    text, options, message = WRONG[name]
    path = written(tmp_path / 'log.csv', text)
    with pytest.raises(LipfaultError, match=message) as caught:
        read(open_source(path, 'csv', **options))
    assert str(path) in str(caught.value)


def test_text_far_down_is_named(tmp_path):
    lines = [f'{number},{number}' for number in range(60000)]
    lines[50000] = '50000,x1'
    path = written(tmp_path / 'log.csv', 't,x\n' + '\n'.join(lines) + '\n')
    with pytest.raises(LipfaultError, match=r"column 'x'.*x1"):
        read(CsvSource(path))


def test_ragged_rows_are_named(tmp_path):
    path = written(tmp_path / 'log.csv', 't,x\n0,1\n1,2,3\n2,3\n')
    with pytest.raises(LipfaultError, match=r'log.csv.*(Expected 2 columns|columns)'):
        read(CsvSource(path))


def test_unknown_paths_and_readers(tmp_path):
    with pytest.raises(LipfaultError, match='does not exist'):
        open_source(tmp_path / 'none')
    with pytest.raises(LipfaultError, match='no reader recognizes this folder; name one'):
        open_source(tmp_path)
    written(tmp_path / 'a.csv', PLAIN)
    with pytest.raises(LipfaultError, match="no reader 'cvs'; there are"):
        open_source(tmp_path, 'cvs')
    with pytest.raises(LipfaultError, match="no module 'nowhere'"):
        open_source(tmp_path, 'nowhere.Reader')
    with pytest.raises(LipfaultError, match="has no 'Reader'"):
        open_source(tmp_path, 'lipfault.errors.Reader')
    assert open_source(tmp_path, 'lipfault.importers.readers.csv.CsvSource').fields
