"""A multimodal variational autoencoder."""

import torch
from torch import Tensor, nn

from lipfault.losses import reconstruction
from lipfault.modality import Signals
from lipfault.models.blocks.baselines.base import ReconstructionBlock
from lipfault.models.blocks.interface.types import StepData
from lipfault.models.layers.mlp import mlp

VARIANCE = 0.1
"""Variance of the decoder's Gaussian in standardized units; weighs the KL term."""

LIMITS = (-8.0, 4.0)
"""Least and largest logarithm of an expert's variance."""


class VaeBlock(ReconstructionBlock):
    """A product of experts, one per modality, on the latents of stage 1.

    The expert of each modality returns a Gaussian over the common code; their product with the
    standard normal prior is the posterior, so that an expert of large variance has little weight. A
    dense decoder maps the code to the joint latent. Trained to reconstruct clean from observed
    signals; outside training the code is the mean of the posterior.

    Reference:
        Wu and Goodman 2018, https://arxiv.org/abs/1802.05335.
    """

    corrector: nn.Sequential

    def build(self) -> None:
        """Build detector, experts and decoder."""
        super().build()
        width, code = self.config.corrector_width, self.config.code
        sizes = zip(self.modalities, self.latent.sizes, strict=True)
        self.experts = nn.ModuleDict({n: mlp(size, width, 2 * code) for n, size in sizes})
        self.corrector = mlp(code, width, width, self.latent.size)
        steps = self.autoencoder.steps
        self.dimensions = sum(
            len(m.channels) * (steps[n] if m.size is None else m.size[0] * m.size[1])
            for n, m in self.modalities.items()
        )

    def posterior(self, signals: Signals) -> tuple[Tensor, Tensor]:
        """Compute the posterior of the code.

        Args:
            signals: Observed signals, standardized.

        Returns:
            Mean and variance, (batch, code) each.
        """
        with self.frozen():
            latents = self.autoencoder.encode(signals)
        weighted, precision = [], []
        for name, expert in self.experts.items():
            mean, logarithm = expert(latents[name].flatten(1)).float().chunk(2, dim=1)
            certainty = (-logarithm.clamp(*LIMITS)).exp()
            weighted.append(mean * certainty)
            precision.append(certainty)
        total = 1 + sum(precision[1:], precision[0])  # 1 is the precision of the prior
        variance = torch.div(torch.ones(()), total)
        return sum(weighted[1:], weighted[0]) * variance, variance

    def reconstruct(self, signals: Signals) -> tuple[Signals, Signals]:
        """Decode the mean of the posterior.

        Args:
            signals: Observed signals, standardized.

        Returns:
            Latents, and the signals decoded from them.
        """
        return self.decoded(self.posterior(signals)[0])

    def decoded(self, code: Tensor) -> tuple[Signals, Signals]:
        """Decode a code.

        Args:
            code: (batch, code).

        Returns:
            Latents, and the signals decoded from them.
        """
        latents = self.latent.split(self.corrector(code))
        return latents, self.autoencoder.decode(latents)

    def own_terms(self, step_data: StepData) -> dict[str, Tensor]:
        """Return the negative evidence lower bound in units of the squared error, from one code.

        Args:
            step_data: Inputs, targets and outputs of the training step.

        Returns:
            The scalars `sampled`, the squared error of a sampled code, and `kl`.
        """
        mean, variance = self.posterior(step_data.observation.signals)
        noise = step_data.draws.normal('code', (mean.shape[1],)).to(mean.dtype)
        sampled = self.decoded(mean + variance.sqrt() * noise)[1]
        divergence = 0.5 * (mean.square() + variance - variance.log() - 1).sum(dim=1).mean()
        return {
            'sampled': reconstruction(sampled, step_data.clean),
            'kl': 2 * VARIANCE / self.dimensions * divergence,
        }
