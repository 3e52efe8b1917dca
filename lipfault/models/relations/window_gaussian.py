"""Gaussian model of the windows of a series: low-rank covariance plus a variance per channel."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from lipfault.models.autoencoder.pca import fit_pca

LONGEST_CHUNK = 8
"""Most time steps that share one fault variance."""


@dataclass(frozen=True)
class Factor:
    """Factorization of the covariance of a batch of observed windows, C channels, K chunks.

    Args:
        precision: (batch, C, K) float32, inverse of residual variance plus fault variance.
        cholesky: (batch, k, k) float64, Cholesky factor of the capacitance matrix
            I + W' diag(precision) W.
    """

    precision: Tensor
    cholesky: Tensor


class WindowGaussian(nn.Module):
    """Clean windows of a series as N(mean, W W' + diag(residual)), fitted in closed form.

    An observed window with an additive fault of variance V, one value for each channel and chunk of
    time steps, has the covariance W W' + diag(residual) + diag(V). Its inverse costs one k x k
    factorization for each window (Woodbury). Sums over entries with equal variance are tabulated
    when the model is fitted or loaded.

    Args:
        channels: Channels of the series.
        steps: Length of the window.
        size: Components of the covariance, the k above.

    Reference:
        Tipping & Bishop 1999, Probabilistic principal component analysis,
        https://doi.org/10.1111/1467-9868.00196 (here with a noise variance for each channel)
    """

    mean: Tensor
    basis: Tensor
    residual: Tensor
    grams: Tensor
    upper: Tensor

    def __init__(self, channels: int, steps: int, size: int = 128) -> None:
        """Start with a standard normal without components."""
        super().__init__()
        self.channels, self.steps = channels, steps
        self.chunk = max(n for n in range(1, LONGEST_CHUNK + 1) if steps % n == 0)
        self.size = min(size, channels * steps)
        entries = channels * steps
        self.register_buffer('mean', torch.zeros(entries))
        self.register_buffer('basis', torch.zeros(entries, self.size))
        self.register_buffer('residual', torch.ones(channels))
        upper = torch.triu_indices(self.size, self.size)
        self.register_buffer('upper', upper, persistent=False)
        grams = torch.zeros(entries // self.chunk, upper.shape[1], dtype=torch.float64)
        self.register_buffer('grams', grams, persistent=False)
        self.register_load_state_dict_post_hook(_tabulated)  # type: ignore[no-untyped-call]

    @property
    def chunks(self) -> int:
        """Number of chunks of a channel."""
        return self.steps // self.chunk

    @torch.no_grad()
    def fit(self, series: Tensor, noise: Tensor) -> None:
        """Fit mean, components and residual variances on clean windows.

        Args:
            series: (window, channel, time), standardized.
            noise: (channel,) standard deviation of the sensor noise in the same units; a quarter of
                its variance is the least residual variance.
        """
        samples = series.flatten(1)
        size = min(self.size, len(samples) - 1)
        pca = fit_pca(samples, size)
        coefficients = pca.encode(samples)
        self.mean.copy_(pca.mean)
        self.basis.zero_()
        self.basis[:, :size] = pca.components.T * coefficients.std(dim=0)
        rest = (samples - pca.decode(coefficients)).view_as(series)
        floor = noise.square() / 4
        self.residual.copy_(rest.square().mean(dim=(0, 2)).maximum(floor.to(rest)))
        self.tabulate()

    def tabulate(self) -> None:
        """Tabulate W' W of each channel and chunk, upper triangles in float64."""
        parts = self.basis.view(-1, self.chunk, self.size).double()
        row, column = self.upper
        for number, part in enumerate(parts):  # one at a time: all k x k matrices are large
            self.grams[number] = (part.T @ part)[row, column]

    def factor(self, variance: Tensor) -> Factor:
        """Factorize the covariance of observed windows.

        Args:
            variance: (batch, channel, chunk), fault variance; 0 where nothing is wrong.

        Returns:
            The factorization.
        """
        precision = 1 / (self.residual[:, None] + variance)
        packed = precision.flatten(1).double() @ self.grams
        row, column = self.upper
        matrix = packed.new_zeros(len(packed), self.size, self.size)
        matrix[:, row, column] = packed
        matrix[:, column, row] = packed
        matrix.diagonal(dim1=1, dim2=2).add_(1)
        return Factor(precision, torch.linalg.cholesky(matrix))

    def spread(self, values: Tensor) -> Tensor:
        """Repeat one value for each chunk over its time steps.

        Args:
            values: (batch, channel, chunk).

        Returns:
            (batch, channel, time).
        """
        return values.repeat_interleave(self.chunk, dim=2)

    def chunked(self, series: Tensor) -> Tensor:
        """Divide the time axis into chunks.

        Args:
            series: (batch, channel, time).

        Returns:
            (batch, channel, chunk, step).
        """
        return series.reshape(*series.shape[:2], self.chunks, self.chunk)

    def solve(self, factor: Factor, deviation: Tensor) -> tuple[Tensor, Tensor]:
        """Multiply the inverse of the factorized covariance with deviations from the mean.

        Args:
            factor: Output of `factor`.
            deviation: (batch, channel, time).

        Returns:
            The product, (batch, channel, time), and the posterior mean of the part W a of the clean
            deviation, of the same shape.
        """
        weight = self.spread(factor.precision)
        weighted = (deviation * weight).flatten(1)
        projected = (weighted @ self.basis).double()[:, :, None]
        coefficients = torch.cholesky_solve(projected, factor.cholesky)[:, :, 0]
        low_rank = (coefficients.to(deviation) @ self.basis.T).view_as(deviation)
        return weight * (deviation - low_rank), low_rank

    def deviation(self, series: Tensor) -> Tensor:
        """Subtract the mean window.

        Args:
            series: (batch, channel, time), standardized.

        Returns:
            (batch, channel, time).
        """
        return series - self.mean.view(self.channels, self.steps)


def _tabulated(model: WindowGaussian, _keys: object) -> None:
    """Tabulate after loading: the tables are not saved."""
    model.tabulate()
