"""Correction metrics: how much of a fault's error is removed."""

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


def energy_left(injected: Tensor, left: Tensor) -> float:
    """Return the squared error after correction over that before, pooled over the samples.

    Few large faults dominate the sums; see docs/theory.md, section 6.

    Args:
        injected: (sample,) squared errors of the faulty signal.
        left: (sample,) squared errors of the corrected signal.

    Returns:
        0 for a perfect correction, 1 for none.
    """
    return float(left.double().sum() / injected.double().sum())


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
