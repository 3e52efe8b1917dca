"""A denoising autoencoder, trained end to end on faults."""

from copy import deepcopy

from torch import nn

from lipfault.modality import Signals
from lipfault.models.blocks.baselines.base import ReconstructionBlock
from lipfault.models.layers.mlp import mlp


class DenoisingBlock(ReconstructionBlock):
    """Maps observed to clean signals by encoders and decoders of its own.

    The coders start from a copy of stage 1 and are all trained; dense layers on the joint latent,
    zero at the start, exchange information between modalities. The latents are not those of stage
    1, so that the similarity term has no meaning here.

    Reference:
        Vincent et al. 2008, *Extracting and Composing Robust Features with Denoising Autoencoders*,
        https://doi.org/10.1145/1390156.1390294.
    """

    corrector: nn.Module

    def build(self) -> None:
        """Build the detector, copy the coders, and build the layers between them."""
        super().build()
        self.coders = deepcopy(self.autoencoder).requires_grad_(True)
        self.coders.standardize = nn.ModuleDict()  # the signals are standardized already
        self.corrector = self.new_corrector()

    def new_corrector(self) -> nn.Module:
        """Build the layers between encoders and decoders.

        Returns:
            Dense layers on the joint latent.
        """
        return refinement(self.latent.size, self.config.corrector_width)

    def reconstruct(self, signals: Signals) -> tuple[Signals, Signals]:
        """Encode, refine and decode.

        Args:
            signals: Observed signals, standardized.

        Returns:
            Refined latents, and the signals decoded from them.
        """
        latents = self.refined(self.coders.encode(signals))
        return latents, self.coders.decode(latents)

    def refined(self, latents: Signals) -> Signals:
        """Add the output of the dense layers to the joint latent.

        Args:
            latents: Latents of all modalities.

        Returns:
            Latents of the same shapes.
        """
        joint = self.latent.join(latents)
        return self.latent.split(joint + self.corrector(joint))


def refinement(size: int, width: int) -> nn.Sequential:
    """Build dense layers for a residual update of a latent, zero at the start.

    Args:
        size: Dimensions of the latent.
        width: Hidden units.

    Returns:
        A network from (batch, size) to (batch, size).
    """
    last = nn.Linear(width, size)
    nn.init.zeros_(last.weight)
    nn.init.zeros_(last.bias)
    return nn.Sequential(mlp(size, width, width), nn.GELU(), last)
