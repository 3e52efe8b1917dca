"""The multimodal convolutional autoencoder of stage 1."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from lipfault.modality import Modality, Signals
from lipfault.models.autoencoder.coders import ImageCoder, SeriesCoder
from lipfault.models.autoencoder.sizes import CoderConfig, image_sizes, series_sizes
from lipfault.models.autoencoder.standardize import Standardize


class Autoencoder(nn.Module):
    """One encoder and one decoder per modality, each with a latent that keeps positions.

    Args:
        modalities: Description of each modality.
        steps: Length of the window of each series, in samples.
        config: Sizes.

    Reference:
        Altinses and Schwung, stage 1, https://arxiv.org/abs/2603.25103.
    """

    def __init__(
        self,
        modalities: Mapping[str, Modality],
        steps: Mapping[str, int],
        config: CoderConfig | None = None,
    ) -> None:
        """Build the coders, with a linear path that `fit_start` or a checkpoint sets."""
        super().__init__()
        config = config or CoderConfig()
        self.names, self.steps = tuple(modalities), dict(steps)
        self.standardize = nn.ModuleDict({n: Standardize(m) for n, m in modalities.items()})
        self.coders = nn.ModuleDict(
            {n: _coder(m, steps.get(n, 1), config) for n, m in modalities.items()}
        )

    def latent_shape(self, name: str) -> tuple[int, ...]:
        """Return the latent shape of one modality.

        Args:
            name: The modality.

        Returns:
            (latent channel, position ...), without the batch.
        """
        shape: tuple[int, ...] = self._coder(name).latent_shape
        return shape

    def fit_start(self, name: str, signals: Tensor, keep_coder: bool = False) -> None:
        """Fit standardization and linear path of one modality on clean training signals.

        Args:
            name: The modality.
            signals: (sample, channel, time) or (sample, channel, height, width), physical units.
            keep_coder: Whether to fit the standardization only, for a coder with trained weights.
        """
        standardize = self._standardize(name)
        standardize.fit(signals)
        if not keep_coder:
            self._coder(name).start_from_pca(standardize(signals))

    def latent_size(self, name: str) -> int:
        """Count the latent dimensions of one modality.

        Args:
            name: The modality.

        Returns:
            Dimensions in use.
        """
        return self._coder(name).latent_size

    def importance(self, name: str) -> Tensor:
        """Return the squared effect of each latent dimension on the signal.

        Args:
            name: The modality.

        Returns:
            Squared norm of its kernel in the linear path of the decoder, shaped as the latent.
        """
        return self._coder(name).importance().expand(self.latent_shape(name))

    def noise(self, name: str, modality: Modality) -> Tensor:
        """Return the sensor noise of one modality.

        Args:
            name: The modality.
            modality: Its description.

        Returns:
            (channel,) standard deviation in standardized units.
        """
        scale = self._standardize(name).scale
        return torch.tensor(modality.noise, device=scale.device) / scale.flatten()

    def limits(self, name: str) -> tuple[Tensor, Tensor]:
        """Return a sensor's physical range.

        Args:
            name: The modality.

        Returns:
            Lower and upper end in standardized units, broadcastable to the signal.
        """
        standardize = self._standardize(name)
        return standardize(standardize.low), standardize(standardize.high)

    def standardized(self, signals: Signals) -> Signals:
        """Standardize signals.

        Args:
            signals: Signals in physical units.

        Returns:
            Signals of zero mean and unit variance, of the same shapes.
        """
        return {n: _channels_last(self._standardize(n)(x)) for n, x in signals.items()}

    def physical(self, standardized: Signals) -> Signals:
        """Return standardized signals to physical units.

        Args:
            standardized: Standardized signals.

        Returns:
            Signals in physical units, of the same shapes.
        """
        return {n: self._standardize(n).inverse(x) for n, x in standardized.items()}

    def encode(self, standardized: Signals) -> Signals:
        """Encode signals.

        Args:
            standardized: Standardized signals.

        Returns:
            Latent of every modality, (batch, latent channel, position ...).
        """
        return {n: self._coder(n).encode(x) for n, x in standardized.items()}

    def decode(self, latents: Signals) -> Signals:
        """Decode latents.

        Args:
            latents: Latents of some modalities, (batch, latent channel, position ...).

        Returns:
            Their standardized signals.
        """
        return {n: self._coder(n).decode(z) for n, z in latents.items()}

    def synthesized(self, name: str, change: Tensor) -> Tensor:
        """Decode a change of the latent of one modality by the linear path alone.

        Args:
            name: The modality.
            change: (batch, latent channel, position ...).

        Returns:
            The change of the standardized signal, shaped as the signal.
        """
        return self._coder(name).synthesized(change.float())

    def forward(self, standardized: Signals) -> Signals:
        """Reconstruct signals.

        Args:
            standardized: Standardized signals.

        Returns:
            Their reconstruction, standardized.
        """
        return self.decode(self.encode(standardized))

    def _coder(self, name: str) -> ImageCoder | SeriesCoder:
        coder: ImageCoder | SeriesCoder = self.coders[name]  # type: ignore[assignment]
        return coder

    def _standardize(self, name: str) -> Standardize:
        standardize: Standardize = self.standardize[name]  # type: ignore[assignment]
        return standardize


def _channels_last(signal: Tensor) -> Tensor:
    """Images in channels-last memory format, faster for convolutions; equal values."""
    if signal.dim() == 4:
        return signal.contiguous(memory_format=torch.channels_last)
    return signal


def _coder(modality: Modality, steps: int, config: CoderConfig) -> nn.Module:
    """Build the coder of one modality; an image has no steps."""
    channels = len(modality.channels)
    if modality.size is not None:
        image = image_sizes(modality, config)
        return ImageCoder(channels, modality.size, image.latent, image.widths, config.image_kept)
    series = series_sizes(modality, steps, config)
    return SeriesCoder(channels, steps, series.latent, series.patch, config.series_width)
