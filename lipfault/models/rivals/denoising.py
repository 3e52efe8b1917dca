"""A denoising autoencoder, trained end to end on faults."""

from collections.abc import Mapping
from copy import deepcopy

from torch import nn

from lipfault.modality import Modality
from lipfault.models.autoencoder import Autoencoder, Signals
from lipfault.models.block import BlockConfig
from lipfault.models.rivals.dense import dense
from lipfault.models.rivals.restoring import RestoringBlock


class DenoisingBlock(RestoringBlock):
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
        size, width = self.latent.size, self.config.corrector_width
        self.corrector = nn.Sequential(dense(size, width, width), nn.GELU(), _zero(width, size))

    def restore(self, autoencoder: Autoencoder, observed: Signals) -> tuple[Signals, Signals]:
        """Encode, refine and decode."""
        joint = self.latent.join(self.coders.encode(observed))
        latents = self.latent.split(joint + self.corrector(joint))
        return latents, self.coders.decode(latents)


def _zero(inputs: int, outputs: int) -> nn.Linear:
    layer = nn.Linear(inputs, outputs)
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer
