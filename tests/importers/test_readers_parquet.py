"""The reader of Parquet: types of columns, stamps and time zones, episodes, damaged tables."""

from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from reading import joined, random_rows

from lipfault.errors import LipfaultError
from lipfault.importers.readers import parquet
from lipfault.importers.readers.parquet import ParquetSource
from lipfault.importers.testing import check_source

ROWS = 60
RNG = np.random.default_rng(0)
FORCE = RNG.normal(size=ROWS).astype('f4')
JOINTS = RNG.normal(size=(ROWS, 3))
SPLIT = np.repeat([7, 9], [20, 40])


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """Two episodes in row groups of 16 rows, whose borders are not those of the episodes."""
    path = tmp_path / 'log.parquet'
    columns = {
        'timestamp': np.arange(ROWS) / 50,
        'episode_index': SPLIT,
        'force': FORCE,
        'joints': list(JOINTS),
        'pose': pa.FixedSizeListArray.from_arrays(JOINTS.ravel(), 3),
        'grip': pa.array([None if n % 7 == 0 else n for n in range(ROWS)]),
        'on': np.arange(ROWS) % 2 == 0,
        'note': ['1,5'] * ROWS,
        'nested': [{'x': 1.0}] * ROWS,
    }
    pq.write_table(pa.table(columns), path, row_group_size=16)
    return path


def test_reader_fulfils_the_contract(table: Path) -> None:
    check_source(ParquetSource(table))


def test_values_and_times_are_those_of_pyarrow(table: Path) -> None:
    source, rows = ParquetSource(table), pq.read_table(table).to_pylist()
    assert source.episodes == ('7', '9')
    assert list(source.fields) == ['log', 'log.joints', 'log.pose']
    assert source.fields['log'].channels == ('force', 'grip', 'on')
    assert source.fields['log.joints'].channels == ('joints_0', 'joints_1', 'joints_2')
    for name, columns in {
        'log': ['force', 'grip', 'on'],
        'log.joints': ['joints'],
        'log.pose': ['pose'],
    }.items():
        times, values = joined(source, '9', name)
        for row in random_rows(40):
            stored = [rows[20 + row][column] for column in columns]
            expected = np.hstack([np.asarray(value, 'f8') for value in stored])
            assert times[row] == rows[20 + row]['timestamp']
            assert np.array_equal(values[row], expected, equal_nan=True)


def test_batches_join_to_the_whole(table: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = joined(ParquetSource(table), '9', 'log.joints')
    monkeypatch.setattr(parquet, '_MOST_ROWS', 7)
    parts = joined(ParquetSource(table), '9', 'log.joints')
    assert all(np.array_equal(a, b) for a, b in zip(whole, parts, strict=True))


def test_columns_that_are_no_fields_have_a_reason(table: Path) -> None:
    source = ParquetSource(table)
    assert 'text' in source.skipped['log.note']
    assert 'struct' in source.skipped['log.nested']
    with pytest.raises(LipfaultError, match=r"'log\.note' is not read: text"):
        source.read('7', 'log.note')
    with pytest.raises(LipfaultError, match=r"no field 'speed'.*'log'"):
        source.read('7', 'speed')


def write(path: Path, **columns: object) -> ParquetSource:
    pq.write_table(pa.table(columns), path)
    return ParquetSource(path)


@pytest.mark.parametrize('unit', ['s', 'ms', 'us', 'ns'])
@pytest.mark.parametrize('zone', [None, 'UTC', 'Europe/Berlin', '-03:30'])
def test_types_of_time(tmp_path: Path, unit: str, zone: str | None) -> None:
    # Across the end of summer time in Berlin: two readings have the same time of day.
    stamps = [datetime(2026, 10, 25, 0, 30, tzinfo=UTC) + timedelta(hours=n) for n in range(3)]
    column = pa.array([stamp.timestamp() for stamp in stamps]).cast(pa.int64())
    typed = column.cast(pa.timestamp('s', 'UTC')).cast(pa.timestamp(unit, zone))
    source = write(tmp_path / 'a.parquet', when=typed, x=[1.0, 2.0, 3.0])
    assert joined(source, 'a', 'a')[0].tolist() == [stamp.timestamp() for stamp in stamps]


@pytest.mark.parametrize(
    ('name', 'per_second'),
    [('t', 1), ('t', 10**3), ('t', 10**6), ('t', 10**9), ('time_ms', 10**3), ('stamp_us', 10**6)],
)
def test_epochs_in_every_unit(tmp_path: Path, name: str, per_second: int) -> None:
    start = datetime(2026, 3, 29, 1, 59, 59, tzinfo=timezone(timedelta(hours=1))).timestamp()
    stamps = (int(start) * per_second + np.arange(4) * per_second // 4).astype('i8')
    source = write(tmp_path / 'a.parquet', **{name: stamps}, x=np.zeros(4))
    expected = start + np.arange(4) * max(per_second // 4, 0) / per_second
    assert joined(source, 'a', 'a')[0] == pytest.approx(expected, abs=3e-7, rel=0)


def test_other_clocks_need_the_unit(tmp_path: Path) -> None:
    path = tmp_path / 'a.parquet'
    write(path, tick=[0, 500, 1000], x=[1.0, 2.0, 3.0])
    times, _ = joined(ParquetSource(path, time='tick', time_unit='ms'), 'a', 'a')
    assert times.tolist() == [0.0, 0.5, 1.0]
    assert joined(ParquetSource(path, rate_hz=4), 'a', 'a')[0].tolist() == [0.0, 0.25, 0.5]
    with pytest.raises(LipfaultError, match=r'a\.parquet: no time stamps.*rate_hz'):
        joined(ParquetSource(path), 'a', 'a')


def test_durations_and_times_of_day_are_stamps(tmp_path: Path) -> None:
    for kind in (pa.duration('ms'), pa.time32('ms')):
        stamps = pa.array([0, 1500, 2000]).cast(pa.int32()).cast(pa.int64())
        typed = stamps.cast(pa.int32()).cast(kind) if pa.types.is_time(kind) else stamps.cast(kind)
        source = write(tmp_path / 'a.parquet', since=typed, x=[1.0, 2.0, 3.0])
        assert joined(source, 'a', 'a')[0].tolist() == [0.0, 1.5, 2.0]


@pytest.mark.parametrize(
    'stamps',
    [
        [0.0, None, 2.0],
        [0, None, 2],
        [0.0, np.nan, 2.0],
        [datetime(1970, 1, 1), None, datetime(1970, 1, 1, 0, 0, 2)],
        ['1970-01-01T00:00:00Z', None, '1970-01-01 01:00:02+01:00'],
    ],
)
def test_empty_stamps_are_nan(tmp_path: Path, stamps: list) -> None:
    source = write(tmp_path / 'a.parquet', time=pa.array(stamps, from_pandas=False), x=[1, 2, 3])
    times, _ = joined(source, 'a', 'a')
    assert np.array_equal(times, [0, np.nan, 2], equal_nan=True)


def test_text_that_is_no_date_is_named(tmp_path: Path) -> None:
    source = write(tmp_path / 'a.parquet', time=['2026-01-01T00:00', 'now'], x=[1, 2])
    with pytest.raises(LipfaultError, match=r"time stamps 'time', line 1: 'now' is no number"):
        joined(source, 'a', 'a')


def test_lists_of_another_length_are_named(tmp_path: Path) -> None:
    lists = [[1.0, 2.0]] * 1500 + [None, [1.0]]
    pq.write_table(pa.table({'arm': lists}), tmp_path / 'a.parquet')
    source = ParquetSource(tmp_path / 'a.parquet', rate_hz=1)
    with pytest.raises(LipfaultError, match=r"'arm': row 1501 holds 1 values, expected 2"):
        joined(source, 'a', 'a.arm')
    pq.write_table(pa.table({'arm': lists[:-1]}), tmp_path / 'a.parquet')
    values = joined(ParquetSource(tmp_path / 'a.parquet', rate_hz=1), 'a', 'a.arm')[1]
    assert values[1499].tolist() == [1, 2]
    assert np.isnan(values[1500]).all()
    short = write(tmp_path / 'b.parquet', arm=[[1.0], [1.0, 2.0]], x=[1, 2])
    assert 'lists of 1 to 2 values' in short.skipped['b.arm']


def test_values_beyond_all_sense_are_kept(tmp_path: Path) -> None:
    source = write(tmp_path / 'a.parquet', t=[0, 1, 2, 3], x=[np.nan, np.inf, -999.0, 65535.0])
    values = joined(source, 'a', 'a')[1][:, 0]
    assert np.array_equal(values, [np.nan, np.inf, -999, 65535], equal_nan=True)
    decimals = pa.array([1, 2, 3, 4]).cast(pa.decimal128(25, 2))
    source = write(tmp_path / 'b.parquet', t=[0, 1, 2, 3], x=decimals)
    assert joined(source, 'b', 'b')[1][:, 0].tolist() == [1, 2, 3, 4]


def test_folder_has_an_episode_for_each_file(tmp_path: Path) -> None:
    for number in (2, 10):
        write(tmp_path / f'run_{number}.parquet', t=[0.0, 1.0], x=[number, number], y=[1, 2])
    write(tmp_path / 'run_3.parquet', y=[9], x=[3], t=[0.0])
    source = ParquetSource(tmp_path)
    assert source.episodes == ('run_2', 'run_3', 'run_10')
    assert joined(source, 'run_10', 'table')[1].tolist() == [[10, 1], [10, 2]]
    assert joined(source, 'run_3', 'table')[1].tolist() == [[3, 9]]
    check_source(source)


def test_folder_of_different_tables_is_one_episode(tmp_path: Path) -> None:
    for run in ('a', 'b'):
        (tmp_path / run).mkdir()
        write(tmp_path / run / 'imu.parquet', t=[0.0, 1.0], spin=[1, 2])
        write(tmp_path / run / 'force.parquet', t=[0.0, 0.5, 1.0], x=[1, 2, 3])
    source = ParquetSource(tmp_path / 'a')
    assert source.episodes == ('a',)
    assert set(source.fields) == {'imu', 'force'}
    assert joined(source, 'a', 'force')[0].tolist() == [0, 0.5, 1]
    check_source(source)
    assert ParquetSource(tmp_path).episodes == ('a', 'b')


def test_files_are_what_the_option_says(tmp_path: Path) -> None:
    for name in ('left', 'right'):
        write(tmp_path / f'{name}.parquet', t=[0.0, 1.0], x=[1, 2])
    assert ParquetSource(tmp_path).episodes == ('left', 'right')
    source = ParquetSource(tmp_path, files='fields')
    assert source.episodes == (tmp_path.name,)
    assert set(source.fields) == {'left', 'right'}
    assert ParquetSource(tmp_path, files='episodes').episodes == ('left', 'right')
    with pytest.raises(LipfaultError, match="files must be episodes or fields, got 'both'"):
        ParquetSource(tmp_path, files='both')


def test_episodes_of_a_text_column_that_alternates(tmp_path: Path) -> None:
    path = tmp_path / 'a.parquet'
    write(path, t=[0, 0, 1, 1], x=[1, 2, 3, 4], who=['a b', 'c', 'a b', 'c'])
    source = ParquetSource(path, episode='who')
    assert source.episodes == ('a_b', 'c')
    assert joined(source, 'c', 'a')[1].tolist() == [[2], [4]]
    check_source(source)


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        ({'time': 'clock'}, r"time: no column 'clock'; there are 'x'"),
        ({'episode': 'run'}, "episode: no column 'run'"),
        ({'time': 'word'}, "'word' holds string, not stamps"),
        ({'episode': 'x'}, "'x' holds double, no episodes"),
        ({'episode': 'hole'}, "'hole' is empty in a row"),
    ],
)
def test_options_that_do_not_fit(tmp_path: Path, options: dict, message: str) -> None:
    path = tmp_path / 'a.parquet'
    write(path, x=[1.0, 2.0], word=['a', 'b'], hole=pa.array([1, None]))
    with pytest.raises(LipfaultError, match=message):
        ParquetSource(path, **options)


def test_column_twice_and_no_rows(tmp_path: Path) -> None:
    path = tmp_path / 'a.parquet'
    pq.write_table(pa.table([[1.0], [2.0]], names=['x', 'x']), path)
    with pytest.raises(LipfaultError, match="'x' is there twice"):
        ParquetSource(path)
    pq.write_table(pa.table({'x': pa.array([], pa.float64())}), path)
    with pytest.raises(LipfaultError, match='no rows'):
        ParquetSource(path)
    (tmp_path / 'empty').mkdir()
    with pytest.raises(LipfaultError, match='no file that ends in'):
        ParquetSource(tmp_path / 'empty')


@pytest.mark.parametrize('content', [b'', b'PAR1', b'version https://git-lfs.github.com/spec/v1\n'])
def test_files_that_are_no_tables(tmp_path: Path, content: bytes) -> None:
    (tmp_path / 'a.parquet').write_bytes(content)
    with pytest.raises(LipfaultError, match=r'a\.parquet: no Parquet table'):
        ParquetSource(tmp_path / 'a.parquet')


def test_damaged_names_of_columns(table: Path) -> None:
    content = table.read_bytes()
    table.write_bytes(content.replace(b'force', b'f\x80rce'))
    with pytest.raises(LipfaultError, match=r'log\.parquet: no Parquet table, or a damaged one'):
        ParquetSource(table)


def test_truncated_and_damaged_tables(table: Path) -> None:
    content = table.read_bytes()
    table.write_bytes(content[:-100])
    with pytest.raises(LipfaultError, match=r'log\.parquet'):
        ParquetSource(table)
    damaged = bytearray(content)
    damaged[4:60] = bytes(56)
    table.write_bytes(damaged)
    with pytest.raises(LipfaultError, match=r'log\.parquet: episode 7: batch 0.*damaged'):
        joined(ParquetSource(table), '7', 'log')
