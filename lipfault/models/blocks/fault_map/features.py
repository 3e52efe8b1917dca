"""Summaries of residuals and fault maps, at the resolution of the latent."""

import torch
from torch import Tensor
from torch.nn import functional

from lipfault.models.layers.running_scale import RunningScale

RANKED = 12
"""Number of the largest scores of a modality that the classifier receives."""

NOTHING = -20.0
"""Logit of a position that is certainly without fault."""

# Least mean square before a root or a logarithm, squared standardized units: float32 keeps six
# digits, so that a smaller residual of a signal of unit variance is rounding.
_LEAST_SQUARE = 1e-12


def map_size(kind: str, channels: int, latent_shape: tuple[int, ...]) -> int:
    """Count the features of a fault map averaged over latent positions.

    Args:
        kind: `series`, whose map has channels, or `image`, whose map has one.
        channels: Channels of the signal.
        latent_shape: (latent channel, position ...).

    Returns:
        Map channels times latent positions.
    """
    positions = torch.Size(latent_shape[1:]).numel()
    return positions if kind == 'image' else channels * positions


def mean_over_positions(fault_map: Tensor, latent: Tensor) -> Tensor:
    """Average a map over each latent position.

    Args:
        fault_map: (batch, channel, time) or (batch, 1, height, width).
        latent: (batch, latent channel, position ...), for the shape.

    Returns:
        (batch, map size), see `map_size`.
    """
    if fault_map.dim() == 4:
        rows, columns = latent.shape[2:]
        return functional.adaptive_avg_pool2d(fault_map, (rows, columns)).flatten(1)
    return functional.adaptive_avg_pool1d(fault_map, latent.shape[2]).flatten(1)


def position_rms(residual: Tensor, latent: Tensor) -> Tensor:
    """Compute the root mean square of a residual over each latent position.

    Args:
        residual: Shaped as its signal; the channels of an image are averaged.
        latent: (batch, latent channel, position ...), for the shape.

    Returns:
        (batch, map size), see `map_size`.
    """
    square = residual.square()
    if residual.dim() == 4:
        square = square.mean(dim=1, keepdim=True)  # (batch, 1, height, width)
    return mean_over_positions(square, latent).clamp_min(_LEAST_SQUARE).sqrt()


def peak(values: Tensor, latent: Tensor) -> Tensor:
    """Compute the largest magnitude of a residual.

    Args:
        values: A residual. Of a series the largest of each channel is taken; of an image the
            largest over each latent position of the mean over 2 x 2 pixels, all channels together.
        latent: (batch, latent channel, position ...), for the shape.

    Returns:
        (batch, peak count), see `peak_count`.
    """
    if values.dim() == 3:
        return values.abs().amax(dim=2)
    # 2 x 2 pixels: a single pixel of an image is as noisy as a fault of a single pixel is large.
    spots = _spots(values).square().mean(1, keepdim=True)
    rows, columns = latent.shape[2:]
    highest = functional.adaptive_max_pool2d(spots, (rows, columns)).flatten(1)
    return highest.clamp_min(_LEAST_SQUARE).sqrt()


def peak_count(kind: str, channels: int, latent_shape: tuple[int, ...]) -> int:
    """Count the features of `peak`.

    Args:
        kind: `series` or `image`.
        channels: Channels of a series, the count itself.
        latent_shape: (latent channel, row, column) of an image, of which the positions count.

    Returns:
        Channels for a series, rows times columns for an image.
    """
    if kind == 'series':
        return channels
    return map_size(kind, channels, latent_shape)


class ResidualFeatures(RunningScale):
    """Standard scores of the residuals of one modality.

    Root mean squares and peaks are compared on a logarithmic scale, in standard deviations over
    clean samples: the size of a residual varies so little between clean windows that a tenth more
    is significant. Of these scores only the largest are returned, in order: a network with all of
    them as inputs memorizes which were large in training.

    Args:
        kind: `series` or `image`.
        channels: Channels of the signal.
        latent_shape: (latent channel, position ...).
        residuals: Number of residuals, each shaped as the signal.
    """

    def __init__(
        self, kind: str, channels: int, latent_shape: tuple[int, ...], residuals: int
    ) -> None:
        """Build the running scale of all root mean squares and peaks."""
        each = map_size(kind, channels, latent_shape) + peak_count(kind, channels, latent_shape)
        super().__init__(residuals * each, center=True)

    @staticmethod
    def size(residuals: int) -> int:
        """Count the features of `scores`.

        Args:
            residuals: Number of residuals.

        Returns:
            The ranked scores, and a largest root mean square and a largest peak of each residual.
        """
        return RANKED + 2 * residuals

    def scores(self, residuals: list[Tensor], latent: Tensor, is_clean: Tensor | None) -> Tensor:
        """Compute the largest standard scores.

        Args:
            residuals: Shaped as the signal.
            latent: (batch, latent channel, position ...), for the shape.
            is_clean: (batch,) bool, given in training: these samples set the scale.

        Returns:
            (batch, size): the `RANKED` largest scores in descending order, then the largest score
            of the root mean squares and of the peaks of each residual.
        """
        groups = [g for r in residuals for g in (position_rms(r, latent), peak(r, latent))]
        logarithms = torch.cat([x.float().clamp_min(1e-6).log() for x in groups], dim=1)
        if is_clean is not None:
            self.update(logarithms, is_clean)
        scores = self(logarithms).abs()
        each = torch.split(scores, [x.shape[1] for x in groups], dim=1)
        ranked = functional.pad(scores, (0, RANKED)).topk(RANKED, dim=1).values
        return torch.cat([ranked, *(x.amax(dim=1, keepdim=True) for x in each)], dim=1)


def rms(features: Tensor) -> Tensor:
    """Compute the root mean square over features.

    Args:
        features: (batch, feature).

    Returns:
        (batch, 1).
    """
    return features.square().mean(dim=1, keepdim=True).clamp_min(_LEAST_SQUARE).sqrt()


def map_features(logits: Tensor, latent: Tensor, count: int) -> Tensor:
    """Summarize a fault map by its largest logits and by the share that it marks.

    Args:
        logits: Of the map, (batch, channel, time) or (batch, 1, height, width).
        latent: (batch, latent channel, position ...), for the shape.
        count: Number of logits: those of the channels of a series, of the latent positions of an
            image, each the largest mean over 4 time steps, or over 2 x 2 pixels; absent ones are
            filled with `NOTHING`.

    Returns:
        (batch, count + 1): the largest logits in descending order, and the logarithm of the mean
        probability.
    """
    logits = logits.float()
    if logits.dim() == 3:
        positions = functional.avg_pool1d(logits, min(4, logits.shape[2])).amax(dim=2)
    else:
        rows, columns = latent.shape[2:]
        spots = _spots(logits)
        positions = functional.adaptive_max_pool2d(spots, (rows, columns)).flatten(1)
    largest = functional.pad(positions, (0, count), value=NOTHING).topk(count, dim=1).values
    share = logits.sigmoid().flatten(1).mean(dim=1, keepdim=True)
    return torch.cat([largest, share.clamp_min(1e-6).log()], dim=1)


def _spots(values: Tensor) -> Tensor:
    """Mean over 2 x 2 pixels, over one where an image has no two in a direction."""
    rows, columns = (min(2, side) for side in values.shape[2:])
    return functional.avg_pool2d(values, (rows, columns))
