"""The compute block as published: a dense trunk, a corrector and a detector on the joint latent."""

from collections.abc import Mapping

from torch import Tensor, nn

from lipfault.modality import Modality
from lipfault.models.autoencoder.autoencoder import Autoencoder, Signals
from lipfault.models.blocks.base import BlockConfig, ComputeBlock, Correction, Detection, SideInfo
from lipfault.models.blocks.detector import Detector
from lipfault.models.blocks.joint_latent import JointLatent


class PaperBlock(ComputeBlock):
    """Corrects the whole joint latent (Altinses and Schwung, arXiv 2603.25103).

    A dense trunk shared by two heads, so that what one wants costs the other: the corrector maps it
    to the corrected latent, the detector to an embedding and one logit per modality. It does not
    locate faults, so it cannot be told where they are either.

    Args:
        autoencoder: Stage 1; frozen, and not a part of this module.
        modalities: What is known of each modality.
        config: Sizes.
    """

    locates = False

    def __init__(
        self,
        autoencoder: Autoencoder,
        modalities: Mapping[str, Modality],
        config: BlockConfig | None = None,
    ) -> None:
        """Build the layers for the latent shapes of the autoencoder."""
        super().__init__(modalities)
        config = config or BlockConfig(kind='paper')
        self.latent = JointLatent.of(autoencoder, modalities)
        size, width = self.latent.size, config.corrector_width
        self.trunk = nn.Sequential(
            nn.Linear(size, width), nn.GELU(), nn.Linear(width, width), nn.GELU()
        )
        self.corrector = nn.Sequential(nn.Linear(width, width), nn.GELU(), nn.Linear(width, size))
        self.detector = Detector(width, len(modalities), config.detector_width, config.embedding)

    def detect(
        self,
        autoencoder: Autoencoder,
        observed: Signals,
        clean: Tensor | None = None,
        known: SideInfo | None = None,
    ) -> Detection:
        """Embed the trunk's view of the joint latent; what is missing counts as its mean."""
        with self.frozen():
            latents = autoencoder.encode(observed)
        scaled = self.detector.scaled(self.trunk(self.latent.join(latents)).float(), clean)
        embedding = self.detector.embed(scaled)
        return Detection(self.detector(embedding), embedding, scaled, {}, latents)

    def correct(
        self,
        autoencoder: Autoencoder,
        observed: Signals,
        hide: Signals,
        located: Signals | None = None,
        blind: Tensor | None = None,
    ) -> Correction:
        """Correct the whole latent; the maps are not used, the cleaned signal is decoded."""
        with self.frozen():
            latents = autoencoder.encode(observed)
        restored = self.latent.split(self.corrector(self.trunk(self.latent.join(latents))))
        inferred = autoencoder.decode(restored)
        cleaned = {n: x.float() for n, x in inferred.items()}
        return Correction(restored, inferred, cleaned, {})
