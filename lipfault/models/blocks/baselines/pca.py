"""Principal component analysis of whole windows, all modalities together."""

import torch
from torch import Tensor

from lipfault.modality import Signals
from lipfault.models.blocks.baselines.base import ClosedFormBlock
from lipfault.models.blocks.baselines.projection import Projection


class PcaBlock(ClosedFormBlock):
    """Probabilistic PCA of whole windows.

    The corrected signal is the posterior mean, the score the residual. Each modality has the same
    weight, whatever its number of channels and pixels.

    Reference:
        Tipping and Bishop 1999, https://doi.org/10.1111/1467-9868.00196.
    """

    corrector: Projection

    def build(self) -> None:
        """Build the detector and the projection."""
        super().build()
        steps = self.autoencoder.steps
        self.shapes = {
            n: (len(m.channels), *((steps[n],) if m.size is None else m.size))
            for n, m in self.modalities.items()
        }
        self.sizes = [torch.Size(shape).numel() for shape in self.shapes.values()]
        self.corrector = Projection(sum(self.sizes), self.config.code)

    def reconstruct(self, signals: Signals) -> tuple[Signals, Signals]:
        """Project the joint window.

        Args:
            signals: Observed signals, standardized.

        Returns:
            Latents of the projected signals, and the projected signals.
        """
        projected = torch.split(self.corrector(self._joint(signals)), self.sizes, dim=1)
        reconstructed = {
            n: (part * size**0.5).reshape(-1, *self.shapes[n])
            for n, part, size in zip(signals, projected, self.sizes, strict=True)
        }
        return self.autoencoder.encode(reconstructed), reconstructed

    @torch.no_grad()
    def fit_start(self, standardized: Signals) -> None:
        """Fit the components, then the standard scores, on clean windows.

        Args:
            standardized: Clean signals, standardized.
        """
        self.corrector.fit(self._joint(standardized))
        super().fit_start(standardized)

    def _joint(self, signals: Signals) -> Tensor:
        """(batch, feature), each modality of unit variance in all."""
        parts = zip(signals.values(), self.sizes, strict=True)
        return torch.cat([x.float().flatten(1) / size**0.5 for x, size in parts], dim=1)
