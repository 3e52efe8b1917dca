"""Estimate noise, steps, ranges and sensors from recorded values."""

import math
from collections.abc import Sequence
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

from lipfault.data.quantum import series_quantum

Values = npt.NDArray[np.float64]

# Order of the differences, samples of a window, and which quantile of the windows counts.
_ORDER, _WINDOW, _QUANTILE = 3, 32, 0.2

# Noise of a channel without any, such as a command: this share of its range.
_SILENT = 1e-4

# Margin of an estimated range at each end, as a share of the observed one.
_MARGIN = 0.1

# Correlation of a channel's differences with another channel from which on the other counts as its
# velocity.
_VELOCITY = 0.98


def noise_floor(blocks: Sequence[Values]) -> Values:
    """Estimate the standard deviation of the white noise on each channel.

    The third differences of a window of 32 samples leave out any parabola; their root mean square,
    divided by the root of 20, estimates the noise where the signal is smooth. The estimate is the
    20 % quantile over all windows, since a sensor moves smoothly or rests in some of them, divided
    by that quantile of white noise: of a chi-square distribution with the effective degrees of
    freedom of correlated differences, in the approximation of Wilson and Hilferty.

    Args:
        blocks: Consecutive samples (samples, channels) each; NaN marks missing values.

    Returns:
        (channels,) float64; 0 for a channel that holds its value in a fifth of the windows, NaN for
        one without a window that is complete.

    Reference:
        Gasser, Sroka & Jennen-Steinmetz 1986, Residual variance and residual pattern in nonlinear
        regression, https://doi.org/10.1093/biomet/73.3.625 (difference-based estimators);
        Wilson & Hilferty 1931, The distribution of chi-square,
        https://doi.org/10.1073/pnas.17.12.684

    Example:
        >>> values = np.random.default_rng(0).normal(0, 0.5, (5000, 1)) + np.arange(5000)[:, None]
        >>> bool(abs(noise_floor([values])[0] / 0.5 - 1) < 0.05)
        True
    """
    spreads = np.concatenate([_window_spreads(block) for block in blocks])
    found = np.full(spreads.shape[1], np.nan)
    for channel, values in enumerate(spreads.T):
        known = values[np.isfinite(values)]
        if len(known):
            found[channel] = np.quantile(known, _QUANTILE) / _white_quantile(_WINDOW)
    return found


def _window_spreads(block: Values) -> Values:
    """Return the scaled root mean square of the differences of each window: (windows, channels)."""
    windows = len(block) // _WINDOW
    cut = block[: windows * _WINDOW].reshape(windows, _WINDOW, block.shape[1])
    scale = math.sqrt(math.comb(2 * _ORDER, _ORDER))
    with np.errstate(invalid='ignore', over='ignore'):  # Inf and NaN are left out later
        squares: Values = (np.diff(cut, n=_ORDER, axis=1) / scale) ** 2
        spreads: Values = np.sqrt(squares.mean(axis=1))
    return spreads


def _white_quantile(window: int) -> float:
    """Return the quantile of a window's spread for white noise of unit variance."""
    total = math.comb(2 * _ORDER, _ORDER)
    correlations = [math.comb(2 * _ORDER, _ORDER + lag) / total for lag in range(1, _ORDER + 1)]
    freedom = (window - _ORDER) / (1 + 2 * sum(each**2 for each in correlations))
    step = 2 / (9 * freedom)
    share = (1 - step + NormalDist().inv_cdf(_QUANTILE) * math.sqrt(step)) ** 3
    return math.sqrt(share)


def steps(blocks: Sequence[Values], whole: npt.NDArray[np.bool_]) -> list[float | None]:
    """Estimate the step of the values of each channel.

    Args:
        blocks: Samples (samples, channels) each.
        whole: Which channels hold integers only.

    Returns:
        The step of the coarsest grid through zero that holds all values, see
        `lipfault.data.quantum.series_quantum`; 1 for integers on no coarser grid; None for a
        channel on no grid or with too few values.
    """
    values = np.concatenate(blocks).astype(np.float32)
    found = [series_quantum(values[:, channel]) for channel in range(values.shape[1])]
    return [
        step if step is not None else (1.0 if is_whole else None)
        for step, is_whole in zip(found, whole, strict=True)
    ]


def spacing(low: float, high: float) -> float:
    """Return the step of a channel on no grid: the spacing of float32 at its largest value.

    Args:
        low: Lower end of the range.
        high: Upper end of the range.

    Returns:
        A power of two.
    """
    return float(2.0 ** (math.floor(math.log2(max(abs(low), abs(high), 1e-30))) - 23))


def margins(low: float, high: float) -> tuple[float, float]:
    """Return an estimated physical range: the observed one, and a tenth of it more at each end.

    Args:
        low: Lowest value.
        high: Highest value; where it equals the lowest, a tenth of its size is added instead.

    Returns:
        Lower and upper end.
    """
    margin = _MARGIN * (high - low) if high > low else _MARGIN * max(abs(low), 1.0)
    return low - margin, high + margin


def noise_of(floor: float, quantum: float | None, low: float, high: float) -> float:
    """Return the noise to state: the estimate, and at least that of quantization.

    Args:
        floor: Estimate of `noise_floor`, 0 or NaN if the channel has none.
        quantum: Step of the values, None if they are on no grid.
        low: Lowest value.
        high: Highest value.

    Returns:
        Standard deviation; of a channel without noise and without grid, such as a command, 1e-4 of
        its range.
    """
    rounding = 0.0 if quantum is None else quantum / math.sqrt(12)
    found = max(floor if math.isfinite(floor) else 0.0, rounding)
    return found or _SILENT * ((high - low) or max(abs(low), 1.0))


def image_noise(frames: Sequence[npt.NDArray[np.generic]], white: float) -> Values:
    """Estimate the noise of each colour from consecutive frames.

    The estimator of `noise_floor`, with the frames of one pixel as a window: some pixels show a
    still scene. A film that repeats still blocks bit by bit gives the noise of rounding.

    Args:
        frames: Consecutive frames (frames, height, width, channel) each.
        white: Value of white.

    Returns:
        (channel,) float64 as shares of white, at least that of rounding.
    """
    rounding = 1 / (white * math.sqrt(12))
    scale = math.sqrt(math.comb(2 * _ORDER, _ORDER)) * white
    found = []
    for each in frames:
        if len(each) > _ORDER:
            changes = np.diff(each.astype(np.float32), n=_ORDER, axis=0) / scale
            spreads = np.sqrt((changes**2).mean(axis=0))
            found.append(np.quantile(spreads, _QUANTILE, axis=(0, 1)) / _white_quantile(len(each)))
    if not found:
        return np.full(frames[0].shape[-1] if frames else 1, rounding)
    noise: Values = np.maximum(np.median(found, axis=0), rounding)
    return noise


def velocities(blocks: Sequence[Values]) -> list[tuple[int, int]]:
    """Return pairs of channels the second of which is the rate of change of the first.

    Args:
        blocks: Consecutive samples (samples, channels) each.

    Returns:
        (position, velocity) for each pair whose correlation of difference and velocity exceeds
        0.98; candidates for one physical sensor.
    """
    rises, middles = [], []
    for block in blocks:
        if len(block) > 2 and np.isfinite(block).all():
            rises.append((block[2:] - block[:-2]) / 2)
            middles.append(block[1:-1])
    if not rises:
        return []
    rise, middle = _standard(np.concatenate(rises)), _standard(np.concatenate(middles))
    correlation = np.abs(rise.T @ middle) / len(rise)
    np.fill_diagonal(correlation, 0.0)
    best = correlation.argmax(axis=1)
    pairs = [(position, int(velocity)) for position, velocity in enumerate(best)]
    strong = [pair for pair in pairs if correlation[pair] > _VELOCITY]
    # Sine and cosine are the rate of change of each other.
    return [pair for pair in strong if pair[::-1] not in strong]


def _standard(values: Values) -> Values:
    """Return columns of zero mean and unit variance; constant ones become 0."""
    centred = values - values.mean(axis=0)
    spread = centred.std(axis=0)
    scaled: Values = np.where(spread > 0, centred / np.where(spread > 0, spread, 1), 0.0)
    return scaled
