"""Importing aligns modalities, marks what is missing, and writes everything or nothing."""

import json
import tracemalloc

import numpy as np
import pytest

from lipfault.data.checking import problems
from lipfault.data.recording import Recording
from lipfault.errors import LipfaultError
from lipfault.importers.dataset import Limits, opened, prepare, write
from lipfault.importers.mapping import parse_mapping, write_mapping
from lipfault.importers.merged import MergedSource
from lipfault.importers.source import Field, Samples


class Memory:
    """A source in memory: {episode: {field: (stamps, values)}}, read in chunks of 7."""

    def __init__(self, path, content):
        self.path, self._content, self.closed = path, content, False
        self.fields, self.episodes = {}, list(content)
        for name, (_, values) in content[self.episodes[0]].items():
            image = values.ndim == 4
            channels = tuple(f'c{number}' for number in range(values.shape[-1]))
            self.fields[name] = Field(
                name, 'image' if image else 'series', channels, ('',) * len(channels),
                size=values.shape[1:3] if image else None, dtype=str(values.dtype),
            )  # fmt: skip

    def read(self, episode, field):
        times, values = self._content[episode].get(field, (np.empty(0), np.empty((0, 1))))
        for start in range(0, len(times), 7):
            yield Samples(times[start : start + 7], values[start : start + 7])

    def close(self):
        self.closed = True


def series(rate, seconds, start=0.0, channels=2, seed=0):
    times = start + np.arange(round(rate * seconds)) / rate
    rng = np.random.default_rng(seed)
    values = np.sin(times[:, None] * (1 + np.arange(channels)))
    values = values + rng.normal(0, 0.01, values.shape)
    return times, values.astype(np.float32).astype(np.float64)


def done(tmp_path, content, text=None, **options):
    """Import, check the file, and return recording and what was prepared."""
    prepared = prepare(
        Memory(tmp_path, content), None if text is None else parse_mapping(text), **options
    )
    write(prepared, tmp_path / 'out.h5', overwrite=True)
    recording = Recording(tmp_path / 'out.h5')
    assert list(problems(recording)) == []
    return recording, prepared


def all_of(recording, name, episode=0):
    return recording.read(episode, name, 0, recording.episodes[episode].lengths[name])


def test_modalities_start_together_and_keep_their_samples(tmp_path):
    content = {'e': {'a': series(50, 4, start=100.3), 'b': series(20, 4.5, start=100.0)}}
    recording, _ = done(tmp_path, content)
    _, values = content['e']['a']
    np.testing.assert_array_equal(all_of(recording, 'a'), values.astype(np.float32))
    # The first sample of b at or after the common start, to half a period.
    first = int(np.rint(0.3 * 20))
    b = all_of(recording, 'b')
    np.testing.assert_array_equal(
        b, content['e']['b'][1][first : first + len(b)].astype(np.float32)
    )
    info = recording.episodes[0]
    assert info.lengths == {'a': 200, 'b': 80}
    assert info.parameters['start_s'] == pytest.approx(100.3)
    assert not info.partial


@pytest.mark.parametrize('shift', [-0.49, -0.2, 0.31, 0.5])
def test_a_constant_offset_costs_no_sample(tmp_path, shift):
    content = {'e': {'a': series(10, 20), 'b': series(10, 20, start=1 + shift / 10)}}
    recording, prepared = done(tmp_path, content)
    assert not recording.episodes[0].partial
    assert all(counts.tally.crowded == 0 for counts in prepared.conversion.counts.values())


def test_gaps_become_masks_and_stamps_are_kept(tmp_path):
    times, values = series(10, 10)
    keep = (times < 3) | (times > 4.5)
    content = {'e': {'a': (times[keep], values[keep]), 'b': series(10, 10)}}
    recording, prepared = done(tmp_path, content)
    present = recording.present(0, 'a', 0, 100)
    np.testing.assert_array_equal(present, keep)
    np.testing.assert_array_equal(all_of(recording, 'a')[keep], values[keep].astype(np.float32))
    assert np.isnan(all_of(recording, 'a')[~keep]).all()
    stamps = recording.stamps(0, 'a', 0, 100)
    np.testing.assert_array_equal(stamps[keep], times[keep])
    assert np.isnan(stamps[~keep]).all()
    assert recording.stamps(0, 'b', 0, 100) is None
    assert prepared.conversion.counts['a'].missing == (~keep).sum()


def test_jitter_moves_no_value(tmp_path):
    times, values = series(10, 20)
    noisy = times + np.random.default_rng(1).uniform(-0.02, 0.02, len(times))
    recording, _ = done(tmp_path, {'e': {'a': (noisy, values)}})
    np.testing.assert_array_equal(all_of(recording, 'a'), values.astype(np.float32))
    np.testing.assert_array_equal(recording.stamps(0, 'a', 0, 200), noisy)
    bare, _ = done(tmp_path, {'e': {'a': (noisy, values)}}, keep_stamps=False)
    assert bare.stamps(0, 'a', 0, 200) is None


def test_repeated_and_decreasing_stamps_are_dropped(tmp_path):
    times, values = series(10, 10)
    odd = times.copy()
    odd[50] = odd[49]
    odd[70] = odd[68]
    recording, prepared = done(tmp_path, {'e': {'a': (odd, values)}})
    tally = prepared.conversion.counts['a'].tally
    assert (tally.repeated, tally.decreasing) == (1, 1)
    present = recording.present(0, 'a', 0, 100)
    assert np.flatnonzero(~present).tolist() == [50, 70]


def test_another_rate_resamples_series_and_thins_films(tmp_path):
    times = np.arange(60) / 30.0
    film = np.arange(60, dtype=np.uint8)[:, None, None, None] * np.ones((1, 4, 6, 1), np.uint8)
    slow_times = np.arange(200) / 100.0
    values = np.sin(2 * np.pi * 0.5 * slow_times)[:, None]
    content = {'e': {'eye': (times, film), 'a': (slow_times, values)}}
    text = 'eye: {columns: eye, rate: 10}\na: {columns: a, rate: 20, noise: 0.01}'
    recording, _ = done(tmp_path, content, text)
    assert recording.modalities['eye'].rate_hz == 10
    np.testing.assert_array_equal(all_of(recording, 'eye')[:, 0, 0, 0], np.arange(0, 60, 3))
    found = all_of(recording, 'a')[:, 0]
    inner = slice(8, -8)
    np.testing.assert_allclose(
        found[inner], np.sin(np.pi * np.arange(len(found)) / 20)[inner], atol=0.02
    )
    with pytest.raises(
        LipfaultError, match='frames are never invented; state a rate of at most 30'
    ):
        done(tmp_path, content, 'eye: {columns: eye, rate: 60}')


def test_irregular_stamps_are_resampled_onto_the_grid_of_the_sensor(tmp_path):
    rng = np.random.default_rng(0)
    times = np.cumsum(rng.uniform(0.001, 0.03, 1500))
    values = np.round(np.sin(times), 2)[:, None]
    recording, _ = done(tmp_path, {'e': {'a': (times, values)}})
    found = all_of(recording, 'a')[:, 0]
    assert recording.modalities['a'].quantum == (0.01,)
    np.testing.assert_allclose(np.rint(found * 100), found * 100, atol=1e-4)
    instants = times[0] + np.arange(len(found)) / recording.modalities['a'].rate_hz
    np.testing.assert_allclose(found, np.sin(instants), atol=0.012)


def test_columns_of_two_fields_with_clocks_of_their_own(tmp_path):
    content = {'e': {'a': series(50, 4), 'b': series(20, 4, start=0.004, channels=1)}}
    recording, _ = done(tmp_path, content, 'both: {columns: ["a[1]", b], rate: 50}')
    modality = recording.modalities['both']
    assert modality.channels == ('c1', 'c0')
    found = all_of(recording, 'both')
    good = recording.present(0, 'both', 0, len(found))
    good = np.ones(len(found), bool) if good is None else good
    assert good.mean() > 0.95
    times, values = content['e']['b']
    expected = np.interp(0.004 + np.arange(len(found)) / 50, times, values[:, 0])
    np.testing.assert_allclose(found[good, 1], expected[good], atol=0.02)


def test_missing_values_are_masks_whatever_marks_them(tmp_path):
    times, values = series(10, 100, channels=3)
    values[5, 0], values[9, 1], values[200:203, 2] = np.nan, np.inf, -999.0
    recording, prepared = done(tmp_path, {'e': {'a': (times, values)}})
    present = recording.present(0, 'a', 0, 1000)
    assert np.flatnonzero(~present).tolist() == [5, 9, 200, 201, 202]
    assert prepared.descriptions['a'].sentinels == ((-999.0, 3),)
    assert recording.modalities['a'].low[2] > -2
    # The proposal says so, and an edited one decides.
    assert 'missing: [-999.0]' in write_mapping(prepared.proposal, {})
    text = 'a: {columns: a, missing: [-1e9], low: -2000}'
    kept, _ = done(tmp_path, {'e': {'a': (times, values)}}, text)
    assert kept.read(0, 'a', 200, 201)[0, 2] == -999


def test_a_proposal_gives_the_same_recording(tmp_path):
    content = {'e': {'a': series(50, 4), 'b': series(20, 4, seed=1)}}
    first, prepared = done(tmp_path, content)
    before = [first.modalities, all_of(first, 'a'), all_of(first, 'b')]
    again, _ = done(tmp_path, content, write_mapping(prepared.proposal, {}))
    assert again.modalities == before[0]
    np.testing.assert_array_equal(all_of(again, 'a'), before[1])
    np.testing.assert_array_equal(all_of(again, 'b'), before[2])


def test_the_file_says_what_is_estimated_and_stated_values_count(tmp_path):
    content = {'e': {'a': series(50, 4)}}
    text = 'a: {columns: a, noise: {c0: 0.5}, low: -7, high: 7, units: {c1: rad}}'
    recording, _ = done(tmp_path, content, text)
    modality = recording.modalities['a']
    assert modality.noise[0] == 0.5
    assert modality.noise[1] == pytest.approx(0.01, rel=0.3)
    assert (modality.low, modality.high) == ((-7.0, -7.0), (7.0, 7.0))
    assert modality.units == ('unknown', 'rad')
    assert json.loads(str(recording.attributes['estimated'])) == {'a': ['noise', 'quantum']}


def test_groups_and_derived_channels_of_a_mapping(tmp_path):
    content = {'e': {'a': series(50, 4, channels=4)}}
    text = 'a: {columns: a, groups: {encoder: [c0, c1]}, derived: [c3]}'
    recording, _ = done(tmp_path, content, text)
    assert recording.modalities['a'].sensors == ((0, 1), (2,))


def test_constant_channels_are_named_and_survive(tmp_path):
    times, values = series(50, 4, channels=3)
    values[:, 1] = 3.0
    values[:, 2] = values[:, 0]
    recording, prepared = done(tmp_path, {'e': {'a': (times, values)}})
    assert prepared.descriptions['a'].constant == ('c1',)
    assert prepared.descriptions['a'].duplicates == (('c0', 'c2'),)
    assert (all_of(recording, 'a')[:, 1] == 3).all()


def test_one_sample_and_one_channel(tmp_path):
    content = {'e': {'a': (np.array([5.0]), np.array([[1.0]]))}}
    with pytest.raises(LipfaultError, match='no rate can be measured'):
        done(tmp_path, content)
    recording, _ = done(tmp_path, content, 'a: {columns: a, rate: 10}')
    assert recording.episodes[0].lengths == {'a': 1}


BROKEN = {
    'clock set back': (
        lambda t, v: (np.where(t > 5, t - 3600, t), v),
        'the clock steps back by .* daylight saving',
    ),
    'repeated': (lambda t, v: (np.repeat(t[::2], 2), v), '50.0% of the stamps are repeated'),
    'late': (lambda t, v: (t + 7, v), 'have only 3.000 s in common, .* would be cut off'),
    'elsewhere': (lambda t, v: (t + 1e6, v), "'e': the modalities have no second in common: b 0"),
    'missing': (
        lambda t, v: (np.delete(t, np.s_[20:90]), np.delete(v, np.s_[20:90], 0)),
        '70% of the samples are missing',
    ),
    'absent': (lambda t, v: (t[:0], v[:0]), "episode 'e': lacks samples of 'a'"),
    'no value': (lambda t, v: (t, v * np.nan), "channel 'c0' has no finite value; leave it out"),
}  # fmt: skip


@pytest.mark.parametrize('name', BROKEN)
def test_what_is_beyond_the_limits_is_refused_with_its_reason(name, tmp_path):
    change, message = BROKEN[name]
    content = {'e': {'b': series(10, 10), 'a': change(*series(10, 10))}}
    with pytest.raises(LipfaultError, match=message):
        done(tmp_path, content)
    assert list(tmp_path.iterdir()) == []


def test_limits_can_be_moved_and_an_offset_corrects_a_clock(tmp_path):
    content = {'e': {'b': series(10, 10), 'a': series(10, 10, start=7.0)}}
    recording, _ = done(tmp_path, content, limits=Limits(cut=1.0))
    assert recording.episodes[0].duration_s == pytest.approx(3.0)
    recording, _ = done(tmp_path, content, 'b: {columns: b}\na: {columns: a, offset: -7}')
    assert recording.episodes[0].duration_s == pytest.approx(10.0)


def test_unknown_episodes_and_those_named(tmp_path):
    content = {name: {'a': series(10, 5, seed=number)} for number, name in enumerate('xyz')}
    recording, _ = done(tmp_path, content, episodes=['y', 'z'])
    assert [each.episode_id for each in recording.episodes] == ['y', 'z']
    with pytest.raises(LipfaultError, match="no episode 'w'; there are x, y, z"):
        done(tmp_path, content, episodes=['w'])


def test_a_value_outside_a_stated_range_is_named_and_nothing_is_written(tmp_path):
    content = {'e': {'a': series(10, 5)}}
    with pytest.raises(LipfaultError, match=r"'a'.*channel 'c0', is outside the range -0.1 to 0.1"):
        done(tmp_path, content, 'a: {columns: a, low: -0.1, high: 0.1, noise: 0.001}')
    assert list(tmp_path.iterdir()) == []


def test_an_error_half_way_leaves_an_existing_file_alone(tmp_path, monkeypatch):
    content = {name: {'a': series(10, 5)} for name in 'xy'}
    done(tmp_path, content)
    before = (tmp_path / 'out.h5').read_bytes()
    prepared = prepare(Memory(tmp_path, content))
    prepared.conversion.source._content['y']['a'] = (np.array([0.0, 0.1]), np.ones((2, 5)))
    with pytest.raises(ValueError):
        write(prepared, tmp_path / 'out.h5', overwrite=True)
    assert (tmp_path / 'out.h5').read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ['out.h5']


class Damaged(Memory):
    """A source whose episode y breaks off when it is read the second time."""

    reads = 0

    def read(self, episode, field):
        self.reads += episode == 'y'
        for number, chunk in enumerate(super().read(episode, field)):
            if episode == 'y' and self.reads > 1 and number == 3:
                raise LipfaultError(f'{self.path}: y is damaged')
            yield chunk


def test_damage_that_shows_in_the_second_pass_is_left_out_on_demand(tmp_path):
    content = {name: {'a': series(10, 5, seed=number)} for number, name in enumerate('xyz')}
    with pytest.raises(LipfaultError, match='y is damaged'):
        write(prepare(Damaged(tmp_path, content)), tmp_path / 'out.h5')
    assert list(tmp_path.iterdir()) == []
    prepared = prepare(Damaged(tmp_path, content))
    assert write(prepared, tmp_path / 'out.h5', skip_broken=True) == 2
    assert [each.episode_id for each in Recording(tmp_path / 'out.h5').episodes] == ['x', 'z']
    assert 'y is damaged' in prepared.scan.broken['y']
    assert prepared.conversion.counts['a'].samples == 100


def test_several_sources_on_one_clock(tmp_path):
    one = Memory(tmp_path / 'one', {'x': {'a': series(10, 5, start=50)}})
    two = Memory(tmp_path / 'two', {'y': {'a': series(20, 5, start=50.2)}})
    prepared = prepare(MergedSource([one, two]))
    write(prepared, tmp_path / 'out.h5')
    recording = Recording(tmp_path / 'out.h5')
    assert list(recording.modalities) == ['a', 'a_2']
    assert [each.episode_id for each in recording.episodes] == ['x']
    _, values = two._content['y']['a']
    np.testing.assert_array_equal(all_of(recording, 'a_2')[:90], values[:90].astype(np.float32))


def test_sources_share_their_common_episodes_only(tmp_path):
    one = Memory(tmp_path / 'one', {name: {'a': series(10, 5)} for name in 'xy'})
    two = Memory(tmp_path / 'two', {name: {'b': series(10, 5)} for name in 'yz'})
    assert MergedSource([one, two]).episodes == ['y']
    three = Memory(tmp_path / 'three', {name: {'b': series(10, 5)} for name in 'pq'})
    with pytest.raises(LipfaultError, match='no episode is in all of these sources'):
        MergedSource([one, three])


def test_sources_are_closed_after_an_error(tmp_path, monkeypatch):
    source = Memory(tmp_path, {'x': {'a': series(10, 5)}})
    monkeypatch.setattr('lipfault.importers.dataset.open_source', lambda *args, **options: source)
    with pytest.raises(RuntimeError), opened([tmp_path]):
        raise RuntimeError
    assert source.closed


class Endless:
    """A source that makes its samples while it is read: a film and a series of any length."""

    def __init__(self, path, frames):
        self.path, self._frames, self.episodes = path, frames, ['e']
        self.fields = {
            'eye': Field('eye', 'image', ('grey',), ('1',), 10.0, (16, 16), 'uint8'),
            'arm': Field('arm', 'series', ('q', 'v'), ('', ''), 10.0),
        }

    def read(self, episode, field):
        for start in range(0, self._frames, 500):
            times = np.arange(start, start + 500) / 10.0
            if field == 'arm':
                yield Samples(times, np.stack([np.sin(times), np.cos(times)], axis=1))
            else:
                grey = (np.arange(start, start + 500) % 256).astype(np.uint8)
                yield Samples(times, np.repeat(grey, 256).reshape(500, 16, 16, 1))

    def close(self):
        """Hold nothing."""


def test_memory_does_not_grow_with_the_length(tmp_path):
    peaks = []
    for frames in (500, 10_000, 40_000):  # the first one imports modules
        tracemalloc.start()
        write(prepare(Endless(tmp_path, frames)), tmp_path / f'{len(peaks)}.h5', compression='none')
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    # The films hold 2.6 and 10.2 MB.
    assert peaks[2] < peaks[1] + 1.5e6
