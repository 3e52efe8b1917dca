"""The multimodal autoencoder as it is, without correction."""

from lipfault.models.autoencoder.autoencoder import Autoencoder, Signals
from lipfault.models.blocks.baselines.base import ClosedFormBlock


class UncorrectedBlock(ClosedFormBlock):
    """What stage 1 can do alone: its reconstruction is the cleaned signal, its error the score.

    The usual autoencoder detector (Sakurada and Yairi 2014, doi:10.1145/2689746.2689747).
    """

    def restore(self, autoencoder: Autoencoder, observed: Signals) -> tuple[Signals, Signals]:
        """Reconstruct."""
        latents = self.latent.split(self.corrector(self.latent.join(autoencoder.encode(observed))))
        return latents, autoencoder.decode(latents)
