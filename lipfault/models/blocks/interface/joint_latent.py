"""The latents of all modalities as one vector."""

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from lipfault.modality import Signals
from lipfault.models.autoencoder.autoencoder import Autoencoder


@dataclass(frozen=True)
class JointLatent:
    """Joins the latents of all modalities into one vector, and splits it.

    Args:
        shapes: (latent channel, position ...) of each modality.
    """

    shapes: dict[str, tuple[int, ...]]

    @classmethod
    def of(cls, autoencoder: Autoencoder, names: Iterable[str]) -> 'JointLatent':
        """Return the joint latent of an autoencoder.

        Args:
            autoencoder: Stage 1.
            names: Names of the modalities, in order.

        Returns:
            The joint latent of these modalities.
        """
        return cls({n: autoencoder.latent_shape(n) for n in names})

    @property
    def sizes(self) -> list[int]:
        """Dimensions of the latent of each modality."""
        return [torch.Size(shape).numel() for shape in self.shapes.values()]

    @property
    def size(self) -> int:
        """Dimensions of the joint latent."""
        return sum(self.sizes)

    def join(self, latents: Signals) -> Tensor:
        """Join latents.

        Args:
            latents: (batch, latent channel, position ...) of each modality.

        Returns:
            (batch, size).
        """
        return torch.cat([latents[n].flatten(1) for n in self.shapes], dim=1)

    def split(self, joint: Tensor) -> Signals:
        """Split a joint latent, the inverse of `join`.

        Args:
            joint: (batch, size).

        Returns:
            (batch, latent channel, position ...) of each modality.
        """
        parts = zip(self.shapes.items(), torch.split(joint, self.sizes, dim=1), strict=True)
        return {n: part.reshape(-1, *shape) for (n, shape), part in parts}
