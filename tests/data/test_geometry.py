"""Windows hold the samples up to the same instant, and no others."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lipfault.data.geometry import Geometry, Span
from lipfault.errors import LipfaultError
from lipfault.modality import Modality


def series(rate_hz, name='imu'):
    return Modality(name, 'series', rate_hz, ('a',), ('g',), (-2.0,), (2.0,), (0.01,))


def camera(rate_hz):
    return Modality('eye', 'image', rate_hz, ('i',), ('1',), (0.0,), (1.0,), (0.01,), (4, 4))


@pytest.mark.parametrize(
    ('rate_hz', 'window_s', 'history_s', 'span'),
    [
        (100.0, 1.0, 0.5, Span(50, 100)),
        (100.0, 0.29, 0.07, Span(7, 29)),
        (50.0, 1.0, 0.0, Span(0, 50)),
        (30.0, 0.1, 1 / 30, Span(1, 3)),
    ],
)
def test_spans_of_a_series(rate_hz, window_s, history_s, span):
    geometry = Geometry({'imu': series(rate_hz)}, window_s, 0.1, history_s)
    assert geometry.span('imu') == span
    assert span.total == span.history + span.window


@pytest.mark.parametrize(('history_s', 'history'), [(0.0, 0), (0.05, 0), (0.3, 3), (1.0, 10)])
def test_an_image_is_the_last_frame(history_s, history):
    assert Geometry({'eye': camera(10.0)}, 1.0, 0.1, history_s).span('eye') == Span(history, 1)


def test_all_modalities_end_at_the_same_instant():
    geometry = Geometry({'eye': camera(10.0), 'imu': series(100.0)}, 1.0, 0.1, 0.5)
    window = np.arange(30)
    np.testing.assert_allclose(geometry.end_s(window), 1.5 + 0.1 * window)
    np.testing.assert_array_equal(geometry.stop('imu', window) - 1, 150 + 10 * window)
    np.testing.assert_array_equal(geometry.stop('eye', window) - 1, 15 + window)


rates = st.sampled_from([1.0, 7.0, 10.0, 29.97, 30.0, 50.0, 100.0, 125.0, 333.3, 1000.0])
lengths = st.sampled_from([0.1, 0.25, 1 / 3, 0.5, 1.0, 1.7, 2.0])


histories = st.sampled_from([0.0, 0.1, 1 / 3, 1.0])


@given(rates, rates, lengths, lengths, histories, st.integers(1, 900))
def test_windows_hold_what_lies_between_their_ends(
    fast, slow, window_s, stride_s, history_s, tenth
):
    if window_s * min(fast, slow) < 1:
        return
    modalities = {'imu': series(fast), 'eye': camera(slow)}
    geometry = Geometry(modalities, window_s, stride_s, history_s)
    counts = {name: max(1, int(tenth / 10 * m.rate_hz)) for name, m in modalities.items()}
    windows = np.arange(geometry.count(counts))
    for name, modality in modalities.items():
        last = geometry.stop(name, windows) - 1
        age = geometry.end_s(windows) - last / modality.rate_hz
        assert (age >= -1e-6).all(), 'a sample from after the end of the window'
        assert (age < 1 / modality.rate_hz).all(), 'not the last sample before the end'
        assert (last < counts[name]).all(), 'a sample after the end of the episode'
        assert (last + 1 >= geometry.span(name).total).all(), 'a sample before the episode'
    recorded_s = min((counts[name] - 1) / m.rate_hz for name, m in modalities.items())
    assert geometry.end_s(np.array([len(windows)])) > recorded_s, 'one more window would fit'


@pytest.mark.parametrize(
    ('window_s', 'stride_s', 'history_s', 'message'),
    [
        (0.0, 0.1, 0.0, 'window_s must be positive, got 0'),
        (-1.0, 0.1, 0.0, 'window_s must be positive'),
        (float('nan'), 0.1, 0.0, 'window_s must be positive'),
        (1.0, 0.0, 0.0, 'stride_s must be positive'),
        (1.0, float('inf'), 0.0, 'stride_s must be positive'),
        (1.0, 0.1, -0.1, 'history_s must not be negative'),
        (0.005, 0.1, 0.0, "window_s=0.005 holds no sample of 'imu' at 100 Hz"),
    ],
)
def test_impossible_windows_are_refused(window_s, stride_s, history_s, message):
    with pytest.raises(LipfaultError, match=message):
        Geometry({'imu': series(100.0)}, window_s, stride_s, history_s)
