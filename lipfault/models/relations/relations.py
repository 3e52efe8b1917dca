"""How sensors are related when nothing is wrong: learned in stage 1, asked in stage 2."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from lipfault.modality import Modality
from lipfault.models.autoencoder.autoencoder import Autoencoder, Signals
from lipfault.models.relations.channel_residual import ChannelResidual
from lipfault.models.relations.cross_modal import CrossModalPredictor
from lipfault.models.relations.neighbour_residual import NeighbourResidual


@dataclass
class RelationsConfig:
    """Sizes of the relations.

    Args:
        width: Hidden units of the dense layers of a predictor.
        depth: Dense layers of a predictor.
        channels: Hidden channels of a predictor at each latent position.
        positions: Positions at which a series is shown to the predictors of other modalities.
        grid: Rows and columns at which an image is shown to them.
        patches: Time resolutions of the channel consistency, in time steps.
        reach: Samples on either side that a sample is compared with; fewer in a window too short.
    """

    width: int = 512
    depth: int = 3
    channels: int = 64
    positions: int = 4
    grid: int = 16
    patches: tuple[int, ...] = (2, 4, 8)
    reach: int = 4


class Relations(nn.Module):
    """Relations between the channels of a series, and between modalities, on clean signals.

    They are learned on other episodes than the compute block, which therefore sees residuals of
    the size that it will meet on new recordings.

    Args:
        autoencoder: Decides the latent shapes; not a part of this module.
        modalities: What is known of each modality.
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
        self.consistency = nn.ModuleDict(
            {
                n: nn.ModuleList(
                    ChannelResidual(len(m.channels), autoencoder.steps[n], p)
                    for p in config.patches
                )
                for n, m in modalities.items()
                if m.kind == 'series'
            }
        )
        self.interpolation = nn.ModuleDict(
            {
                n: NeighbourResidual(
                    len(m.channels), min(config.reach, (autoencoder.steps[n] - 1) // 2)
                )
                for n, m in modalities.items()
                if m.kind == 'series'
            }
        )
        sizes = {
            n: len(m.channels) * (config.positions if m.kind == 'series' else config.grid**2)
            for n, m in modalities.items()
        }
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
        """Take the relations between the channels of a series from clean windows.

        Args:
            name: The modality; nothing happens for an image.
            standardized: (window, channel, time).
            noise: (channel,) sensor noise in standardized units.
        """
        if name in self.consistency:
            for relation in self._relations(name):
                relation.fit(standardized, noise)

    def resolutions(self, name: str) -> int:
        """How many residuals `contradictions` gives for a modality."""
        return len(self._relations(name)) if name in self.consistency else 0

    def contradictions(self, name: str, standardized: Tensor) -> list[Tensor]:
        """Whitened residuals of each channel given the others, and of each sample given the rest.

        One for each resolution, and one of the interpolation between neighbours.

        Args:
            name: The modality; an image has none.
            standardized: (batch, channel, time).

        Returns:
            Tensors shaped as the signal.
        """
        if name not in self.consistency:
            return []
        return [relation(standardized) for relation in self._relations(name)]

    def predicted(self, standardized: Signals) -> Signals:
        """Latent of each modality predicted from the other modalities; none if it is alone.

        Args:
            standardized: Signals of all modalities.
        """
        summaries = {n: self._summary(n, x) for n, x in standardized.items()}
        return {
            name: predictor(torch.cat([s for n, s in summaries.items() if n != name], dim=1))
            for name, predictor in self.predictors.items()
        }

    def error(self, autoencoder: Autoencoder, standardized: Signals, latents: Signals) -> Tensor:
        """Mean squared error of the predicted latents, weighted by what they do to the signal.

        Args:
            autoencoder: Weighs the latent channels.
            standardized: Clean signals.
            latents: Their latents; no gradient reaches them.
        """
        errors = []
        for name, predicted in self.predicted(standardized).items():
            square = (predicted.float() - latents[name].detach().float()).square()
            weight = autoencoder.importance(name)
            errors.append((square * weight).sum() / weight.sum() / len(square))
        return torch.stack(errors).mean() if errors else torch.tensor(0.0)

    def _summary(self, name: str, signal: Tensor) -> Tensor:
        if self.kinds[name] == 'series':
            return functional.adaptive_avg_pool1d(signal, self.config.positions).flatten(1)
        return functional.adaptive_avg_pool2d(signal, self.config.grid).flatten(1)

    def _relations(self, name: str) -> list[ChannelResidual | NeighbourResidual]:
        found: nn.ModuleList = self.consistency[name]  # type: ignore[assignment]
        neighbours: NeighbourResidual = self.interpolation[name]  # type: ignore[assignment]
        return [*(c for c in found if isinstance(c, ChannelResidual)), neighbours]
