"""Relations between channels and between modalities of clean signals, fitted in stage 1."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from lipfault.domains import Depth, Width, validated
from lipfault.modality import Modality, Signals
from lipfault.models.autoencoder.autoencoder import Autoencoder
from lipfault.models.relations.channel_residual import ChannelResidual
from lipfault.models.relations.cross_modal import CrossModalPredictor
from lipfault.models.relations.neighbour_residual import NeighbourResidual
from lipfault.models.relations.window_gaussian import WindowGaussian


@validated
@dataclass
class RelationsConfig:
    """Sizes of the relations.

    Args:
        width: Hidden units of the dense layers of a predictor.
        depth: Dense layers of a predictor.
        channels: Hidden channels of a predictor at each latent position.
        positions: Time steps to which a series is pooled for the predictors of other modalities.
        grid: Rows and columns to which an image is pooled for them.
        patches: Time resolutions of the channel residuals, in time steps.
        reach: Samples on either side from which a sample is predicted; fewer in a short window.
        components: Components of the Gaussian model of the windows of a series.
    """

    width: Width = 512
    depth: Depth = 3
    channels: Width = 64
    positions: Width = 4
    grid: Width = 16
    patches: tuple[Width, ...] = (2, 4, 8)
    reach: Width = 4
    components: Width = 128


class Relations(nn.Module):
    """Relations between the channels of a series, and between modalities, on clean signals.

    They are fitted on other episodes than the compute block, whose training therefore has residuals
    of the size that occurs on new recordings.

    Args:
        autoencoder: Stage 1, for the latent shapes; not a submodule.
        modalities: Description of each modality.
        config: Sizes.
    """

    def __init__(
        self,
        autoencoder: Autoencoder,
        modalities: Mapping[str, Modality],
        config: RelationsConfig | None = None,
    ) -> None:
        """Build the parts; a single modality has no predictor."""
        super().__init__()
        config = config or RelationsConfig()
        self.config, self.kinds = config, {n: m.kind for n, m in modalities.items()}
        series = {n: len(m.channels) for n, m in modalities.items() if m.kind == 'series'}
        steps = autoencoder.steps
        self.channel_residuals = nn.ModuleDict(
            {
                n: nn.ModuleList(ChannelResidual(c, steps[n], p) for p in config.patches)
                for n, c in series.items()
            }
        )
        self.neighbour_residuals = nn.ModuleDict(
            {
                n: NeighbourResidual(c, min(config.reach, (steps[n] - 1) // 2))
                for n, c in series.items()
            }
        )
        self.windows = nn.ModuleDict(
            {n: WindowGaussian(c, steps[n], config.components) for n, c in series.items()}
        )
        sizes = {n: self._summary_size(m) for n, m in modalities.items()}
        self.predictors = nn.ModuleDict(
            {
                n: CrossModalPredictor(
                    sum(sizes.values()) - sizes[n],
                    autoencoder.latent_shape(n),
                    config.width,
                    config.depth,
                    config.channels,
                )
                for n in (modalities if len(modalities) > 1 else ())
            }
        )

    def fit_start(self, name: str, standardized: Tensor, noise: Tensor) -> None:
        """Fit the relations between the channels of a series on clean windows.

        Args:
            name: The modality; an image has no such relations.
            standardized: (window, channel, time).
            noise: (channel,) sensor noise in standardized units.
        """
        for relation in self._series_relations(name):
            relation.fit(standardized, noise)
        if name in self.windows:
            self.window_model(name).fit(standardized, noise)

    def window_model(self, name: str) -> WindowGaussian:
        """Return the Gaussian model of the windows of a series.

        Args:
            name: The modality, a series.

        Returns:
            The model.
        """
        model: WindowGaussian = self.windows[name]  # type: ignore[assignment]
        return model

    def residual_count(self, name: str) -> int:
        """Count the residuals of a modality.

        Args:
            name: The modality.

        Returns:
            The length of `residuals`, 0 for an image.
        """
        return len(self._series_relations(name))

    def residuals(self, name: str, standardized: Tensor) -> list[Tensor]:
        """Compute the whitened residuals of a series given its other channels and neighbours.

        Args:
            name: The modality; an image has none.
            standardized: (batch, channel, time).

        Returns:
            Tensors (batch, channel, time): one of the channels at each time resolution, and one of
            each sample given its neighbours.
        """
        return [relation(standardized) for relation in self._series_relations(name)]

    def predicted(self, standardized: Signals) -> Signals:
        """Predict the latent of each modality from the other modalities.

        Args:
            standardized: Signals of all modalities.

        Returns:
            (batch, latent channel, position ...) of each modality; empty for a single modality.
        """
        summaries = {n: self._summary(n, x) for n, x in standardized.items()}
        return {
            name: predictor(torch.cat([s for n, s in summaries.items() if n != name], dim=1))
            for name, predictor in self.predictors.items()
        }

    def error(self, autoencoder: Autoencoder, standardized: Signals, latents: Signals) -> Tensor:
        """Compute the error of the predicted latents, weighted by their effect on the signal.

        Args:
            autoencoder: Stage 1, for the importance of the latent dimensions.
            standardized: Clean signals.
            latents: Their latents; detached.

        Returns:
            Scalar mean squared error, 0 for a single modality.
        """
        errors = []
        for name, predicted in self.predicted(standardized).items():
            square = (predicted.float() - latents[name].detach().float()).square()
            weight = autoencoder.importance(name)
            errors.append((square * weight).sum() / weight.sum() / len(square))
        return torch.stack(errors).mean() if errors else torch.tensor(0.0)

    def _summary_size(self, modality: Modality) -> int:
        """Features of `_summary`."""
        positions = self.config.positions if modality.kind == 'series' else self.config.grid**2
        return len(modality.channels) * positions

    def _summary(self, name: str, signal: Tensor) -> Tensor:
        """A signal pooled for the predictors of the other modalities, (batch, feature)."""
        if self.kinds[name] == 'series':
            return functional.adaptive_avg_pool1d(signal, self.config.positions).flatten(1)
        return functional.adaptive_avg_pool2d(signal, self.config.grid).flatten(1)

    def _series_relations(self, name: str) -> list[ChannelResidual | NeighbourResidual]:
        """Channel residuals of all resolutions, then the neighbour residual; none of an image."""
        if name not in self.channel_residuals:
            return []
        found: nn.ModuleList = self.channel_residuals[name]  # type: ignore[assignment]
        neighbours: NeighbourResidual = self.neighbour_residuals[name]  # type: ignore[assignment]
        return [*(c for c in found if isinstance(c, ChannelResidual)), neighbours]
