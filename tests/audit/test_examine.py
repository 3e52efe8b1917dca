from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from lipfault.audit.draw import draw
from lipfault.audit.examine import examine, sensors_of
from lipfault.audit.grid import common_table
from lipfault.audit.relations import find_relations, followers
from lipfault.audit.shifts import delay_candidates, drift_candidates
from lipfault.audit.types import Examination, Track, Tracks
from lipfault.audit.wording import as_json, describe, sensor_name
from tests.audit.conftest import make_tracks

EPISODE = 5
START, STOP = 90, 210  # 3 s to 7 s


def with_track(tracks: Tracks, name: str, track: Track) -> Tracks:
    episodes = list(tracks.tracks)
    episodes[EPISODE] = {**episodes[EPISODE], name: track}
    return replace(tracks, tracks=tuple(episodes))


def changed(tracks: Tracks, name: str, change: Callable[[np.ndarray], None]) -> Tracks:
    track = tracks.tracks[EPISODE][name]
    values = track.values.copy()
    change(values)
    return with_track(tracks, name, replace(track, values=values))


def stuck(values: np.ndarray) -> None:
    values[START:STOP, 2] = values[START, 2]


def saturated(values: np.ndarray) -> None:
    values[START:STOP, 2] = 8.0


def clipped(values: np.ndarray) -> None:
    values[:, 2] = np.minimum(values[:, 2], np.quantile(values[:, 2], 0.4))


def delayed(values: np.ndarray) -> None:
    values[START:STOP, 2] = values[START - 18 : STOP - 18, 2]


def swapped(values: np.ndarray) -> None:
    values[START:STOP, [1, 2]] = values[START:STOP, [2, 1]]


def drifting(values: np.ndarray) -> None:
    values[START:, 2] += np.linspace(0, 1.5, len(values) - START)


@pytest.fixture(scope='module')
def clean() -> Tracks:
    return make_tracks()


@pytest.fixture(scope='module')
def clean_result(clean: Tracks) -> Examination:
    return examine(clean)


def test_untouched_recordings_have_no_findings(clean_result: Examination) -> None:
    assert clean_result.findings == ()
    p = np.array(clean_result.p)
    assert np.mean(p <= 0.05) < 0.08
    assert {'dropped', 'frozen', 'swapped', 'delayed', 'drifting'} <= set(clean_result.tests)


@pytest.mark.parametrize(
    ('fault', 'kinds'),
    [
        (stuck, {'stuck'}),
        (saturated, {'saturated'}),
        (clipped, {'clipped'}),
        (swapped, {'swapped'}),
    ],
)
def test_a_fault_is_named_with_its_sensor_and_time(
    clean: Tracks, fault: Callable[[np.ndarray], None], kinds: set[str]
) -> None:
    result = examine(changed(clean, 'joints', fault))
    assert result.findings
    for finding in result.findings:
        assert finding.candidate.episode == EPISODE
        named = sensors_of(finding.candidate)
        assert named <= {('joints', 1), ('joints', 2)}
    first = result.findings[0].candidate
    assert first.kind in kinds
    assert first.start_s < STOP / 30 + 0.5
    assert first.stop_s > START / 30 - 0.5


def test_a_delay_is_the_strongest_of_all_episodes(clean: Tracks) -> None:
    table = common_table(changed(clean, 'joints', delayed))
    assert table is not None
    found = delay_candidates(table, followers(find_relations(table)))
    best = max(found, key=lambda candidate: candidate.score)
    assert (best.episode, best.modality, best.channel) == (EPISODE, 'joints', 2)
    assert best.detail['delay_s'] == pytest.approx(0.6, abs=0.04)
    assert best.score > 3 * sorted(candidate.score for candidate in found)[-2]


def test_a_drift_is_the_strongest_of_all_episodes(clean: Tracks) -> None:
    table = common_table(changed(clean, 'joints', drifting))
    assert table is not None
    found = drift_candidates(table, followers(find_relations(table)))
    best = max(found, key=lambda candidate: candidate.score)
    assert (best.episode, best.modality, best.channel) == (EPISODE, 'joints', 2)
    assert best.detail['offset'] == pytest.approx(1.5, abs=0.3)
    assert best.score > 3 * sorted(candidate.score for candidate in found)[-2]


def test_a_frozen_film_is_named(clean: Tracks) -> None:
    track = clean.tracks[EPISODE]['eye']
    values, change = track.values.copy(), track.change.copy()
    values[START:STOP], change[START + 1 : STOP] = values[START], 0.0
    result = examine(with_track(clean, 'eye', replace(track, values=values, change=change)))
    assert [f.candidate.kind for f in result.findings] == ['frozen']
    found = result.findings[0].candidate
    assert (found.modality, found.episode) == ('eye', EPISODE)
    assert found.start_s == pytest.approx(START / 30, abs=0.1)


@pytest.mark.parametrize('name', ['eye', 'joints'])
def test_a_late_modality_is_named(clean: Tracks, name: str) -> None:
    shift = 24
    episode = {
        key: Track(
            *(
                part[: len(part) - shift] if key == name else part[shift:]
                for part in (track.values, track.present)
            ),
            change=track.change[: -shift] if key == name else track.change[shift:],
        )
        for key, track in clean.tracks[EPISODE].items()
    }  # fmt: skip
    tracks = replace(
        clean, tracks=tuple(episode if i == EPISODE else e for i, e in enumerate(clean.tracks))
    )
    first = examine(tracks).findings[0].candidate
    assert (first.kind, first.modality, first.episode) == ('desynchronized', name, EPISODE)
    assert first.detail['delay_s'] == pytest.approx(shift / 30, abs=0.15)


def test_missing_samples_are_named(clean: Tracks) -> None:
    track = clean.tracks[EPISODE]['joints']
    present, values = track.present.copy(), track.values.copy()
    present[START:STOP], values[START:STOP] = False, np.nan
    result = examine(with_track(clean, 'joints', Track(values, present, track.change)))
    assert [f.candidate.kind for f in result.findings] == ['dropped']
    assert result.findings[0].candidate.detail['samples'] == STOP - START
    assert '120 samples missing' in describe(result.tracks, result.findings[0].candidate)


def test_a_sensor_that_is_wholly_missing_is_named(clean: Tracks) -> None:
    track = clean.tracks[EPISODE]['joints']
    absent = np.zeros(len(track.values), bool)
    gone = Track(np.full_like(track.values, np.nan), absent, track.change)
    result = examine(with_track(clean, 'joints', gone))
    assert [f.candidate.kind for f in result.findings] == ['dropped']


def test_a_channel_at_rest_is_not_stuck(clean: Tracks) -> None:
    """Joint and command stand still together, for the whole episode."""
    rested = clean
    for name in ('joints', 'command'):
        rested = changed(rested, name, lambda v: v.__setitem__((slice(None), 2), v[0, 2]))
    kinds = {(f.candidate.modality, f.candidate.kind) for f in examine(rested).findings}
    assert ('joints', 'stuck') not in kinds


def test_findings_are_plain_and_drawn(clean: Tracks) -> None:
    result = examine(changed(clean, 'joints', swapped))
    report = as_json(result)
    first = report['findings'][0]
    assert first['episode'] == 'e05'
    assert {first['channel'], first['detail']['with'].split('.')[1]} == {'j1', 'j2'}
    assert first['detail']['with'].startswith('joints.')
    assert ' <-> ' in sensor_name(result.tracks, result.findings[0].candidate)
    assert len(draw(result, result.findings[0].candidate)) > 1000


@pytest.mark.parametrize('episodes', [1, 2, 3])
def test_few_episodes_give_a_defined_result(episodes: int) -> None:
    result = examine(make_tracks(episodes, steps=90))
    assert all(0 <= p <= 1 for p in result.p)


@pytest.mark.parametrize('steps', [1, 2, 5])
def test_episodes_of_a_few_samples_give_a_defined_result(steps: int) -> None:
    result = examine(make_tracks(4, steps=steps))
    assert result.findings == ()


@pytest.mark.parametrize('names', [['joints'], ['eye'], ['joints', 'eye']])
def test_any_modalities_give_a_defined_result(clean: Tracks, names: list[str]) -> None:
    part = Tracks(
        {name: clean.modalities[name] for name in names},
        clean.episodes,
        tuple({name: episode[name] for name in names} for episode in clean.tracks),
    )
    assert examine(part).findings == ()


def test_constant_channels_give_no_findings(clean: Tracks) -> None:
    episodes = []
    for episode in clean.tracks:
        values = episode['joints'].values.copy()
        values[:, 3] = 1.0
        episodes.append({**episode, 'joints': replace(episode['joints'], values=values)})
    assert examine(replace(clean, tracks=tuple(episodes))).findings == ()
