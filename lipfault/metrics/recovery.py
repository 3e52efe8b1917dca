"""How much of a fault's damage is undone."""

import torch
from torch import Tensor


def error_per_sample(estimate: Tensor, truth: Tensor) -> Tensor:
    """Mean squared error of each sample, (batch,); inputs (batch, ...) of one shape."""
    return (estimate - truth).square().flatten(1).mean(dim=1)


def recovery(clean: Tensor, uncorrected: Tensor, corrected: Tensor) -> float:
    """Share of the excess reconstruction error that correction takes away.

    1 - (E_corrected - E_clean) / (E_uncorrected - E_clean), each E a mean over faulty samples of
    the reconstruction error of the faulty modality against its clean signal: of the stage-1
    autoencoder fed with the clean signal, with the fault, and with the cleaned signal.

    Args:
        clean: (sample,) errors.
        uncorrected: (sample,) errors.
        corrected: (sample,) errors.

    Example:
        >>> recovery(torch.tensor([1.0]), torch.tensor([5.0]), torch.tensor([2.0]))
        0.75
    """
    base = clean.double().mean()
    return float(1 - (corrected.double().mean() - base) / (uncorrected.double().mean() - base))


def energy_left(injected: Tensor, left: Tensor) -> float:
    """Sum of squared errors after cleaning over that before, (sample,) each; 1: nothing gained."""
    return float(left.double().sum() / injected.double().sum())


def skill(error: Tensor, spread: Tensor) -> float:
    """1 - MSE / variance: 1 is perfect, 0 as good as predicting the mean.

    Args:
        error: (sample,) mean squared errors.
        spread: (sample,) mean squared deviations from the training mean, in the same units.
    """
    return float(1 - error.double().mean() / spread.double().mean())


def relative_change(before: Tensor, after: Tensor) -> float:
    """Mean of `after` over the mean of `before`, minus 1; (sample,) each."""
    return float(torch.mean(after.double()) / torch.mean(before.double()) - 1)
