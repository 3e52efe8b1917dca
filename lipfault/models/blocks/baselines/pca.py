"""Principal component analysis of whole windows, all modalities together."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from lipfault.modality import Modality
from lipfault.models.autoencoder.autoencoder import Autoencoder, Signals
from lipfault.models.autoencoder.pca import fit_pca
from lipfault.models.blocks.base import BlockConfig
from lipfault.models.blocks.baselines.base import ClosedFormBlock


class Projection(nn.Module):
    """Shrinks samples onto their principal components.

    Args:
        numbers: Numbers in a sample.
        components: Largest number of components.
    """

    mean: Tensor
    components: Tensor
    shrink: Tensor

    def __init__(self, numbers: int, components: int) -> None:
        """Project everything on zero until `fit`."""
        super().__init__()
        self.register_buffer('mean', torch.zeros(numbers))
        self.register_buffer('components', torch.zeros(components, numbers))
        self.register_buffer('shrink', torch.zeros(components))

    def fit(self, samples: Tensor) -> None:
        """Take the components from samples (window, number); fewer if there are few windows."""
        size = min(len(self.components), *samples.shape)
        pca = fit_pca(samples, size)
        variance = pca.encode(samples).var(dim=0)
        rest = (samples.var(dim=0).sum() - variance.sum()).clamp_min(0)
        noise = rest / max(1, samples.shape[1] - size)
        self.mean.copy_(pca.mean)
        self.components.zero_()[:size] = pca.components
        self.shrink.zero_()[:size] = (1 - noise / variance.clamp_min(1e-12)).clamp(0, 1)

    def forward(self, samples: Tensor) -> Tensor:
        """The posterior mean of samples (batch, number).

        Always in float32: what is left of a quiet sensor is below the resolution of bfloat16.
        """
        with torch.autocast(samples.device.type, enabled=False):
            centered = samples - self.mean
            coefficients = nn.functional.linear(centered, self.components) * self.shrink
            return nn.functional.linear(coefficients, self.components.T) + self.mean


class PcaBlock(ClosedFormBlock):
    """Probabilistic PCA (Tipping and Bishop 1999, doi:10.1111/1467-9868.00196) of whole windows.

    The cleaned signal is the posterior mean, the score the residual. Each modality counts alike,
    whatever its number of channels and pixels.
    """

    corrector: Projection

    def __init__(
        self,
        autoencoder: Autoencoder,
        modalities: Mapping[str, Modality],
        config: BlockConfig | None = None,
    ) -> None:
        """Make room for the components."""
        super().__init__(autoencoder, modalities, config)
        self.shapes = {
            n: (len(m.channels), *((autoencoder.steps[n],) if m.size is None else m.size))
            for n, m in modalities.items()
        }
        self.sizes = [torch.Size(shape).numel() for shape in self.shapes.values()]
        self.corrector = Projection(sum(self.sizes), self.config.code)

    def restore(self, autoencoder: Autoencoder, observed: Signals) -> tuple[Signals, Signals]:
        """Project the joint window."""
        projected = torch.split(self.corrector(self._joint(observed)), self.sizes, dim=1)
        restored = {
            n: (part * size**0.5).reshape(-1, *self.shapes[n])
            for n, part, size in zip(observed, projected, self.sizes, strict=True)
        }
        return autoencoder.encode(restored), restored

    @torch.no_grad()
    def fit_start(self, autoencoder: Autoencoder, standardized: Signals) -> None:
        """Take components and normal residuals from clean windows."""
        self.corrector.fit(self._joint(standardized))
        super().fit_start(autoencoder, standardized)

    def _joint(self, signals: Signals) -> Tensor:
        parts = zip(signals.values(), self.sizes, strict=True)
        return torch.cat([x.float().flatten(1) / size**0.5 for x, size in parts], dim=1)
