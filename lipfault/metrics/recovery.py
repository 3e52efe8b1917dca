"""Correction metrics: how much of a fault's error is removed."""

import math

import torch
from torch import Tensor


def error_per_sample(estimate: Tensor, truth: Tensor) -> Tensor:
    """Return the mean squared error of each sample.

    Args:
        estimate: (batch, ...).
        truth: (batch, ...) of the same shape.

    Returns:
        (batch,) in squared units of the signal.
    """
    return (estimate - truth).square().flatten(1).mean(dim=1)


def recovery(clean: Tensor, uncorrected: Tensor, corrected: Tensor) -> float:
    """Return the share of the excess reconstruction error that the correction removes.

    1 - (E_corrected - E_clean) / (E_uncorrected - E_clean), each E a mean over faulty samples of
    the reconstruction error of the faulty modality against its clean signal. The stage-1
    autoencoder reconstructs the clean, the faulty and the corrected signal.

    Args:
        clean: (sample,) errors with the clean signal as input.
        uncorrected: (sample,) errors with the faulty signal as input.
        corrected: (sample,) errors with the corrected signal as input.

    Returns:
        At most about 1; 0 if nothing is removed, negative if the error grows.

    Example:
        >>> recovery(torch.tensor([1.0]), torch.tensor([5.0]), torch.tensor([2.0]))
        0.75
    """
    # In float64: a difference of nearly equal means.
    base = clean.double().mean()
    return float(1 - (corrected.double().mean() - base) / (uncorrected.double().mean() - base))


def energy_left(injected: Tensor, left: Tensor, kind: Tensor, most: float = math.inf) -> float:
    """Return the mean over fault kinds of the median energy left.

    The energy left of a sample is its squared error after correction over that before. The median
    ignores the size of the faults, and the mean counts each kind once; docs/theory.md, section 6.

    Args:
        injected: (sample,) squared errors of the faulty signal.
        left: (sample,) squared errors of the corrected signal.
        kind: (sample,) int, kind of the fault.
        most: Larger medians of a kind count as this value.

    Returns:
        0 for a perfect correction, 1 for none; NaN without a sample of positive error.

    Example:
        >>> injected, left = torch.tensor([1.0, 99.0, 2.0]), torch.tensor([0.5, 0.0, 1.0])
        >>> energy_left(injected, left, torch.tensor([0, 0, 1]))
        0.375
    """
    medians = [min(m, most) for m in energy_left_by_kind(injected, left, kind).values()]
    return sum(medians) / len(medians) if medians else math.nan


def energy_left_by_kind(injected: Tensor, left: Tensor, kind: Tensor) -> dict[int, float]:
    """Return the median energy left of each kind of fault.

    Args:
        injected: (sample,) squared errors of the faulty signal.
        left: (sample,) squared errors of the corrected signal.
        kind: (sample,) int, kind of the fault.

    Returns:
        Medians by kind, without the kinds whose faults changed nothing.
    """
    ratios = energy_ratios(injected, left)
    known = ~ratios.isnan()
    # quantile, not median: torch's median of an even number is the lower one of two.
    return {
        k: float(ratios[known & (kind == k)].quantile(0.5))
        for k in sorted(set(kind[known].tolist()))
    }


def energy_ratios(injected: Tensor, left: Tensor) -> Tensor:
    """Return the energy left of each sample.

    Args:
        injected: (sample,) squared errors of the faulty signal.
        left: (sample,) squared errors of the corrected signal.

    Returns:
        (sample,) float64; NaN where the fault changed nothing.
    """
    injected, left = injected.double(), left.double()
    return torch.where(injected > 0, left / injected, torch.nan)


def energy_left_pooled(injected: Tensor, left: Tensor) -> float:
    """Return the squared error after correction over that before, pooled over the samples.

    Few large faults dominate the sums; see docs/theory.md, section 6.

    Args:
        injected: (sample,) squared errors of the faulty signal.
        left: (sample,) squared errors of the corrected signal.

    Returns:
        0 for a perfect correction, 1 for none.
    """
    return float(left.double().sum() / injected.double().sum())


def share_worse(injected: Tensor, left: Tensor) -> float:
    """Return the share of samples whose squared error grows by the correction.

    Args:
        injected: (sample,) squared errors of the faulty signal.
        left: (sample,) squared errors of the corrected signal.

    Returns:
        Share in [0, 1]; NaN without samples.
    """
    return float((left > injected).double().mean())


def skill(error: Tensor, spread: Tensor) -> float:
    """Return 1 - MSE / variance: 1 is perfect, 0 as good as predicting the mean.

    Args:
        error: (sample,) mean squared errors.
        spread: (sample,) mean squared deviations from the training mean, in the same units.

    Returns:
        At most 1.

    Reference:
        Nash & Sutcliffe 1970, River flow forecasting through conceptual models,
        https://doi.org/10.1016/0022-1694(70)90255-6
    """
    return float(1 - error.double().mean() / spread.double().mean())


def relative_change(before: Tensor, after: Tensor) -> float:
    """Return the mean of `after` over the mean of `before`, minus 1.

    Args:
        before: (sample,).
        after: (sample,) in the same units.

    Returns:
        0 for no change.
    """
    return float(torch.mean(after.double()) / torch.mean(before.double()) - 1)
