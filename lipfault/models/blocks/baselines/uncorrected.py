"""The autoencoder of stage 1 alone, without correction."""

from lipfault.modality import Signals
from lipfault.models.blocks.baselines.base import ClosedFormBlock


class UncorrectedBlock(ClosedFormBlock):
    """Takes the reconstruction of stage 1 as corrected signal and its error as score.

    Reference:
        Sakurada and Yairi 2014, *Anomaly Detection Using Autoencoders with Nonlinear Dimensionality
        Reduction*, https://doi.org/10.1145/2689746.2689747.
    """

    def reconstruct(self, signals: Signals) -> tuple[Signals, Signals]:
        """Reconstruct by the autoencoder.

        Args:
            signals: Observed signals, standardized.

        Returns:
            Latents, and the signals decoded from them.
        """
        latents = self.autoencoder.encode(signals)
        return latents, self.autoencoder.decode(latents)
