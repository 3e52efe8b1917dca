"""Rules for time stamps: nothing is invented, nothing is used twice, nothing runs backwards."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lipfault.importers.clock import Grid, Order, Tally, in_order, nearest, phase
from lipfault.importers.resample import Resampling
from lipfault.importers.source import Samples
from lipfault.importers.timing import StreamClock, Thinned

stamps = st.lists(st.floats(-2, 12, allow_nan=False, width=16), max_size=60)


def chunks_of(times, values, sizes):
    start = 0
    for size in sizes:
        yield Samples(times[start : start + size], values[start : start + size])
        start += size
    yield Samples(times[start:], values[start:])


def joined(blocks):
    blocks = list(blocks)
    return tuple(
        np.concatenate([getattr(block, name) for block in blocks])
        for name in ('values', 'present', 'stamp_s')
    )


def test_order_keeps_the_first_of_equal_stamps_and_drops_what_runs_back():
    order = Order()
    kept = [*order.keep(np.array([0.0, 1.0, 1.0, np.nan])), *order.keep(np.array([0.5, 1.0, 2.0]))]
    assert kept == [True, True, False, False, False, False, True]
    tally = order.tally
    assert (tally.kept, tally.repeated, tally.decreasing, tally.invalid) == (3, 2, 1, 1)
    assert tally.back_s == 0.5
    assert tally.dropped == 4


@given(stamps, st.lists(st.integers(0, 9), max_size=8))
def test_order_does_not_depend_on_the_chunks(times, sizes):
    times = np.array(times)
    tallies = Tally(), Tally()
    values = np.arange(len(times), dtype=float)[:, None]
    whole = list(in_order([Samples(times, values)], tallies[0]))
    cut = list(in_order(chunks_of(times, values, sizes), tallies[1]))
    assert tallies[0] == tallies[1]
    flat = [np.concatenate([each.times_s for each in found]) for found in (whole, cut) if found]
    assert all(np.array_equal(flat[0], each) for each in flat)
    assert not flat or (np.diff(flat[0]) > 0).all()


@given(stamps, st.lists(st.integers(0, 9), max_size=8), st.integers(1, 7), st.booleans())
def test_nearest_equals_the_search_over_all_samples(times, sizes, size, whole):
    times = np.unique(np.array(times))
    values = times[:, None] * 10 + 1
    grid, tally = Grid(0.25, 2.0, 17), Tally()
    blocks = nearest(
        chunks_of(times, values, sizes), grid, size, lambda n: np.full((n, 1), np.nan), tally, whole
    )
    found, present, stamp = joined(blocks)
    assert len(found) == grid.count
    used = 0
    for slot, instant in enumerate(grid.times(0, grid.count)):
        near = times[np.rint((times - 0.25) * 2.0) == slot]
        assert present[slot] == (len(near) > 0)
        if len(near):
            # Of two that are equally near, the first.
            best = near[np.abs(near - instant).argmin()]
            assert stamp[slot] == best
            assert found[slot, 0] == best * 10 + 1
            used += 1
        else:
            assert np.isnan(found[slot, 0])
            assert np.isnan(stamp[slot])
    inside = np.rint((times - 0.25) * 2.0)
    assert used + tally.crowded == ((inside >= 0) & (inside < grid.count)).sum()


@given(st.floats(-0.49, 0.49), st.floats(0.5, 200))
def test_phase_is_the_distance_from_the_grid(shift, rate):
    times = 3.0 + (np.arange(50) + shift) / rate
    assert phase(times, 3.0, rate) == pytest.approx(shift, abs=1e-6)


def clock_of(times, stated=None):
    clock = StreamClock('x', stated)
    clock.read('a', [times])
    return clock


def test_rate_is_measured_outside_gaps():
    times = np.arange(1000) / 50.0
    times = np.concatenate((times[:300], times[420:]))
    clock = clock_of(times + np.random.default_rng(0).normal(0, 1e-3, len(times)))
    assert clock.regular
    assert clock.measured_hz == pytest.approx(50.0, rel=1e-4)
    assert clock.gaps == 1
    assert clock.longest_s == pytest.approx(121 / 50, abs=0.01)


def test_irregular_stamps_have_a_mean_rate():
    intervals = np.random.default_rng(0).uniform(0.0001, 0.02, 5000)
    clock = clock_of(np.cumsum(intervals))
    assert not clock.regular
    assert clock.measured_hz == pytest.approx(1 / intervals.mean(), rel=1e-3)
    assert clock.gaps == 0


def test_a_stated_rate_counts_where_the_stamps_agree():
    times = np.arange(100) / 29.98
    assert clock_of(times, 30.0).rate_hz == 30.0
    assert clock_of(times, 15.0).rate_hz == pytest.approx(29.98)
    assert clock_of(times[:1], 15.0).rate_hz == 15.0
    assert clock_of(times[:1]).rate_hz is None


@given(st.lists(st.integers(0, 40), max_size=30))
def test_thinned_numbers_are_evenly_spaced_whatever_the_chunks(sizes):
    thinned, start = Thinned(16), 0
    for size in sizes:
        thinned.add(np.arange(start, start + size, dtype=float))
        start += size
    assert len(thinned.values) <= 16
    steps = np.unique(np.diff(thinned.values))
    assert len(steps) <= 1
    assert len(thinned.values) == 0 or thinned.values[0] == 0


def resampled(times, values, rate, grid, sizes=(), gap_s=None, size=13):
    resampling = Resampling(rate, 1.5 / rate if gap_s is None else gap_s)
    return joined(resampling.blocks(chunks_of(times, values, sizes), grid, size))


def test_interpolation_is_linear_and_stops_at_gaps():
    times = np.array([0.0, 1.0, 2.0, 5.0, 6.0])
    values, present, _ = resampled(times, times[:, None] * 3, 1.0, Grid(0.25, 2.0, 12))
    wanted = 0.25 + np.arange(12) / 2
    good = (wanted < 2) | ((wanted > 5) & (wanted < 6))
    np.testing.assert_array_equal(present, good)
    np.testing.assert_allclose(values[good, 0], 3 * wanted[good])


def test_interpolation_hits_samples_and_respects_missing_ones():
    times = np.arange(6.0)
    values = np.array([0.0, 1.0, np.nan, 3.0, 4.0, 5.0])[:, None]
    found, present, _ = resampled(times, values, 1.0, Grid(0.0, 2.0, 11))
    assert present.tolist() == [True, True, True, False, False, False, *[True] * 5]
    np.testing.assert_array_equal(found[present, 0], [0, 0.5, 1, 3, 3.5, 4, 4.5, 5])


@settings(deadline=None, max_examples=25)
@given(st.lists(st.integers(0, 50), max_size=6), st.sampled_from([7.0, 10.0, 25.0]))
def test_resampling_does_not_depend_on_the_chunks(sizes, rate):
    rng = np.random.default_rng(3)
    times = np.cumsum(rng.uniform(0.03, 0.05, 120))
    values = rng.normal(size=(120, 2))
    grid = Grid(0.5, rate, int(3.5 * rate))
    once = resampled(times, values, 25.0, grid)
    again = resampled(times, values, 25.0, grid, sizes, size=5)
    for one, other in zip(once, again, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-12)


def test_a_lower_rate_keeps_slow_signals_and_suppresses_aliases():
    times = np.arange(4000) / 100.0
    slow = np.sin(2 * np.pi * 0.7 * times)
    fast = np.sin(2 * np.pi * 9.0 * times)  # would appear as 1 Hz at 10 Hz
    grid = Grid(0.0, 10.0, 400)
    values, present, _ = resampled(times, np.stack([slow, fast], 1), 100.0, grid)
    inner = slice(10, -10)
    assert present[inner].all()
    np.testing.assert_allclose(
        values[inner, 0], np.sin(2 * np.pi * 0.7 * grid.times(0, 400)[inner]), atol=0.01
    )
    assert np.abs(values[inner, 1]).max() < 0.01
    # A third of all samples, taken as they are, would fold the fast signal at full size.
    assert np.abs(fast[::10][1:-1]).max() > 0.5


def test_a_gap_at_a_lower_rate_is_missing_and_does_not_spread():
    times = np.arange(2000) / 100.0
    kept = (times < 8.0) | (times > 9.0)
    values = np.ones((2000, 1))
    found, present, _ = resampled(times[kept], values[kept], 100.0, Grid(0.0, 10.0, 200))
    missing = np.flatnonzero(~present) / 10
    assert missing.min() >= 7.9
    assert missing.max() <= 9.1
    np.testing.assert_allclose(found[present, 0], 1.0, atol=1e-9)
