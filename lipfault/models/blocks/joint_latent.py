"""The latents of all modalities as one vector."""

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from lipfault.models.autoencoder.autoencoder import Autoencoder, Signals


@dataclass(frozen=True)
class JointLatent:
    """Joins the latents of all modalities, and takes them apart.

    Args:
        shapes: (latent channel, position ...) of each modality.
    """

    shapes: dict[str, tuple[int, ...]]

    @classmethod
    def of(cls, autoencoder: Autoencoder, names: Iterable[str]) -> 'JointLatent':
        """The joint latent of an autoencoder."""
        return cls({n: autoencoder.latent_shape(n) for n in names})

    @property
    def sizes(self) -> list[int]:
        """Numbers in the latent of each modality."""
        return [torch.Size(shape).numel() for shape in self.shapes.values()]

    @property
    def size(self) -> int:
        """Numbers in all of them together."""
        return sum(self.sizes)

    def join(self, latents: Signals) -> Tensor:
        """(batch, size) of latents (batch, latent channel, position ...)."""
        return torch.cat([latents[n].flatten(1) for n in self.shapes], dim=1)

    def split(self, joint: Tensor) -> Signals:
        """The inverse of `join`."""
        parts = zip(self.shapes.items(), torch.split(joint, self.sizes, dim=1), strict=True)
        return {n: part.reshape(-1, *shape) for (n, shape), part in parts}
