"""A multimodal variational autoencoder."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from lipfault.losses import reconstruction
from lipfault.modality import Modality
from lipfault.models.autoencoder.autoencoder import Autoencoder, Signals
from lipfault.models.blocks.base import BlockConfig, StepData
from lipfault.models.blocks.baselines.base import ReconstructionBlock
from lipfault.models.layers.mlp import dense

VARIANCE = 0.1
"""Variance of the decoder's Gaussian in standardized units; weighs the KL term."""

LIMITS = (-8.0, 4.0)
"""Least and largest logarithm of an expert's variance."""


class VaeBlock(ReconstructionBlock):
    """A product of experts, one per modality, on the latents of stage 1 (Wu and Goodman 2018).

    Each modality's expert gives a Gaussian for the common code, arXiv 1802.05335; their product
    with the standard normal prior is the posterior, so an unsure expert has little to say. A dense
    decoder takes the code to the joint latent. Trained to restore clean from observed signals; the
    posterior's mean is used outside training.
    """

    def __init__(
        self,
        autoencoder: Autoencoder,
        modalities: Mapping[str, Modality],
        config: BlockConfig | None = None,
    ) -> None:
        """Build experts and decoder."""
        super().__init__(autoencoder, modalities, config)
        width, code = self.config.corrector_width, self.config.code
        sizes = zip(modalities, self.latent.sizes, strict=True)
        self.experts = nn.ModuleDict({n: dense(size, width, 2 * code) for n, size in sizes})
        self.corrector = dense(code, width, width, self.latent.size)
        self.numbers = sum(
            len(m.channels) * (autoencoder.steps[n] if m.size is None else m.size[0] * m.size[1])
            for n, m in modalities.items()
        )

    def posterior(self, autoencoder: Autoencoder, observed: Signals) -> tuple[Tensor, Tensor]:
        """Mean and variance of the code, (batch, code) each."""
        with self.frozen():
            latents = autoencoder.encode(observed)
        weighted, precision = [], []
        for name, expert in self.experts.items():
            mean, logarithm = expert(latents[name].flatten(1)).float().chunk(2, dim=1)
            certainty = (-logarithm.clamp(*LIMITS)).exp()
            weighted.append(mean * certainty)
            precision.append(certainty)
        total = 1 + sum(precision[1:], precision[0])
        variance = torch.div(torch.ones(()), total)
        return sum(weighted[1:], weighted[0]) * variance, variance

    def restore(self, autoencoder: Autoencoder, observed: Signals) -> tuple[Signals, Signals]:
        """Decode the posterior's mean."""
        return self.decoded(autoencoder, self.posterior(autoencoder, observed)[0])

    def decoded(self, autoencoder: Autoencoder, code: Tensor) -> tuple[Signals, Signals]:
        """Latents and signals of a code (batch, code)."""
        latents = self.latent.split(self.corrector(code))
        return latents, autoencoder.decode(latents)

    def own_terms(self, autoencoder: Autoencoder, step_data: StepData) -> dict[str, Tensor]:
        """The negative evidence bound in units of the squared error, from one drawn code."""
        mean, variance = self.posterior(autoencoder, step_data.observed)
        noise = step_data.draws.normal('code', (mean.shape[1],)).to(mean.dtype)
        drawn = self.decoded(autoencoder, mean + variance.sqrt() * noise)[1]
        divergence = 0.5 * (mean.square() + variance - variance.log() - 1).sum(dim=1).mean()
        return {
            'sampled': reconstruction(drawn, step_data.clean),
            'kl': 2 * VARIANCE / self.numbers * divergence,
        }
