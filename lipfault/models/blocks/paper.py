"""The compute block as published: a dense trunk, a corrector and a detector on the joint latent."""

from torch import Tensor, nn

from lipfault.modality import Signals
from lipfault.models.blocks.interface.base import WholeSignalBlock
from lipfault.models.blocks.interface.config import BlockConfig
from lipfault.models.blocks.interface.detector import Detector
from lipfault.models.blocks.interface.joint_latent import JointLatent


class PaperBlock(WholeSignalBlock):
    """Corrects the whole joint latent.

    Two heads share a dense trunk, so that an improvement of one can degrade the other: the
    corrector maps the trunk's output to the corrected latent, the detector to an embedding and one
    logit per modality.

    Args:
        autoencoder: Stage 1; frozen, not a submodule.
        modalities: Description of each modality.
        config: Sizes.

    Reference:
        Altinses and Schwung, https://arxiv.org/abs/2603.25103.
    """

    corrector: nn.Sequential

    default_config = BlockConfig(kind='paper')

    def build(self) -> None:
        """Build the layers for the latent shapes of the autoencoder."""
        config = self.config
        self.latent = JointLatent.of(self.autoencoder, self.modalities)
        size, width = self.latent.size, config.corrector_width
        self.trunk = nn.Sequential(
            nn.Linear(size, width), nn.GELU(), nn.Linear(width, width), nn.GELU()
        )
        self.corrector = nn.Sequential(nn.Linear(width, width), nn.GELU(), nn.Linear(width, size))
        self.detector = Detector(
            width, len(self.modalities), config.detector_width, config.embedding
        )

    def features(self, signals: Signals, latents: Signals) -> Tensor:
        """Apply the trunk to the joint latent.

        Args:
            signals: Without effect.
            latents: Latents of the observed signals; missing values are at their mean.

        Returns:
            (batch, corrector_width), float32.
        """
        features: Tensor = self.trunk(self.latent.join(latents))
        return features.float()

    def reconstruct(self, signals: Signals) -> tuple[Signals, Signals]:
        """Apply trunk and corrector to the joint latent.

        Args:
            signals: Observed signals, standardized.

        Returns:
            Latents from the corrector's output, and their decoded signals.
        """
        with self.frozen():
            latents = self.autoencoder.encode(signals)
        hidden = self.trunk(self.latent.join(latents))
        corrected = self.latent.split(self.corrector(hidden))
        return corrected, self.autoencoder.decode(corrected)
