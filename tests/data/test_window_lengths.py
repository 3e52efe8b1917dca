"""Window, stride, history and batch size derived from rates and episodes."""

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lipfault.data.episode import EpisodeInfo
from lipfault.data.geometry import Geometry
from lipfault.data.window_lengths import (
    Lengths,
    fitting_batch_size,
    fitting_lengths,
    lengths_in_words,
    long_enough,
)
from lipfault.errors import LipfaultError
from lipfault.modality import Modality


def series(name: str, rate: float) -> Modality:
    return Modality(name, 'series', rate, ('x',), ('1',), (-1.0,), (1.0,), (0.1,))


def image(name: str, rate: float, size: tuple[int, int] = (8, 8)) -> Modality:
    return Modality(name, 'image', rate, ('x',), ('1',), (0.0,), (1.0,), (0.1,), size)


def named(*modalities: Modality) -> dict[str, Modality]:
    return {m.name: m for m in modalities}


@pytest.mark.parametrize(('count', 'seconds'), [(80, 20.0), (40, 15.0), (36, 15.0)])
def test_the_shipped_sets_have_the_windows_they_were_trained_with(count, seconds):
    cell = named(image('camera', 10.0), series('a', 100.0), series('b', 100.0))
    assert fitting_lengths(cell, [seconds] * count) == Lengths(0.64, 0.1, 0.5)


def test_small_sensors_have_a_quarter_of_a_recording():
    found = fitting_lengths(named(series('a', 10.0), series('b', 10.0)), [10.0] * 32)
    assert found == Lengths(2.4, 0.1, 1.9)


def test_given_lengths_stay_and_the_others_follow():
    found = fitting_lengths(named(series('a', 100.0)), [20.0] * 80, window_s=1.28)
    assert found == Lengths(1.28, 0.2, 1.0)
    assert fitting_lengths(named(series('a', 100.0)), [20.0], 0.3, 0.2, 0.1) == Lengths(
        0.3, 0.2, 0.1
    )


def test_lengths_are_said_in_seconds_and_samples():
    geometry = Geometry(named(series('arm', 100.0), image('eye', 10.0)), 0.64, 0.1, 0.5)
    assert lengths_in_words(geometry) == (
        'data.window_s=0.64, data.stride_s=0.1, data.history_s=0.5; samples in a window: arm 64'
    )


RATES = st.lists(st.sampled_from([1.0, 9.87, 10.0, 30.0, 50.0, 104.26, 1000.0]), max_size=3)


@given(RATES, RATES, st.floats(30, 300), st.integers(1, 50))
def test_derived_windows_fit_every_modality_and_the_episodes(fast, slow, seconds, count):
    streams = [series(f's{i}', r) for i, r in enumerate(fast)]
    streams += [image(f'i{i}', r) for i, r in enumerate(slow)]
    if not streams:
        return
    modalities = named(*streams)
    found = fitting_lengths(modalities, [seconds] * count)
    geometry = Geometry(modalities, found.window_s, found.stride_s, found.history_s)
    lengths = {name: int(seconds * m.rate_hz) for name, m in modalities.items()}
    assert geometry.count(lengths) >= 1
    for name, modality in modalities.items():
        assert modality.kind == 'image' or geometry.span(name).window >= 4
        assert geometry.span(name).history >= 1


def test_short_episodes_are_separated_and_only_short_ones_refused():
    geometry = Geometry(named(series('a', 10.0)), 1.0, 0.1, 1.0)
    long, short = (
        EpisodeInfo(i, {'a': n}, n / 10, {}, frozenset()) for i, n in (('x', 30), ('y', 15))
    )
    assert long_enough(geometry, [long, short]) == ['x']
    assert long_enough(geometry, [short, long], {'y'}) == ['y', 'x']
    with pytest.raises(LipfaultError, match=r'longest lasts 1.5 s; data.window_s=0\.4 and'):
        long_enough(geometry, [short])


def test_batches_are_smaller_for_large_frames_and_few_windows():
    arm = series('arm', 100.0)
    eye = image('eye', 10.0, (64, 64))
    assert fitting_batch_size(named(arm, eye), 6000) == 64
    assert fitting_batch_size(named(arm), 40) == 40
    large = dataclasses.replace(eye, size=(480, 640))
    assert fitting_batch_size(named(arm, large), 6000) == 13
