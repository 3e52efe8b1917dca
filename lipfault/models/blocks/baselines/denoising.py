"""A denoising autoencoder, trained end to end on faults."""

from collections.abc import Mapping
from copy import deepcopy

from torch import nn

from lipfault.modality import Modality
from lipfault.models.autoencoder.autoencoder import Autoencoder, Signals
from lipfault.models.blocks.base import BlockConfig
from lipfault.models.blocks.baselines.base import ReconstructionBlock
from lipfault.models.layers.mlp import dense


class DenoisingBlock(ReconstructionBlock):
    """Encoders and decoders of its own, from observed to clean signals in one go.

    A denoising autoencoder (Vincent et al. 2008, doi:10.1145/1390156.1390294) that starts from a
    copy of stage 1, all of it trained; a dense layer on the joint latent, zero at the start, lets
    the modalities help each other. Its latents are its own, so the similarity term means nothing.
    """

    def __init__(
        self,
        autoencoder: Autoencoder,
        modalities: Mapping[str, Modality],
        config: BlockConfig | None = None,
    ) -> None:
        """Copy the coders, and build the layers between them."""
        super().__init__(autoencoder, modalities, config)
        self.coders = deepcopy(autoencoder).requires_grad_(True)
        self.coders.standardize = nn.ModuleDict()  # the signals come standardized
        self.corrector = self.new_corrector()

    def new_corrector(self) -> nn.Module:
        """Dense layers on the joint latent."""
        return refinement(self.latent.size, self.config.corrector_width)

    def restore(self, autoencoder: Autoencoder, observed: Signals) -> tuple[Signals, Signals]:
        """Encode, refine and decode."""
        latents = self.refined(self.coders.encode(observed))
        return latents, self.coders.decode(latents)

    def refined(self, latents: Signals) -> Signals:
        """The latents refined by what all of them say together."""
        joint = self.latent.join(latents)
        return self.latent.split(joint + self.corrector(joint))


def refinement(size: int, width: int) -> nn.Sequential:
    """Dense layers from a latent (batch, size) to what is added to it, zero at the start."""
    last = nn.Linear(width, size)
    nn.init.zeros_(last.weight)
    nn.init.zeros_(last.bias)
    return nn.Sequential(dense(size, width, width), nn.GELU(), last)
