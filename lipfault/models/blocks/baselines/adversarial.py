"""An adversarial multimodal autoencoder."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from lipfault.modality import Modality
from lipfault.models.autoencoder.autoencoder import Autoencoder, Signals
from lipfault.models.blocks.base import BlockConfig, StepData
from lipfault.models.blocks.baselines.base import ReconstructionBlock
from lipfault.models.layers.mlp import dense


class Reversal(torch.autograd.Function):
    """The identity, whose gradient is turned round (Ganin and Lempitsky 2015, arXiv 1409.7495)."""

    @staticmethod
    def forward(ctx: Any, values: Tensor) -> Tensor:  # noqa: ANN401
        """The values."""
        return values.view_as(values)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:  # noqa: ANN401
        """Minus the gradient."""
        return -grads[0]


class AdversarialBlock(ReconstructionBlock):
    """Dense layers on the joint latent, whose output a discriminator cannot tell from clean ones.

    The discriminator (Goodfellow et al. 2014, arXiv 1406.2661) sees joint latents of stage 1, clean
    ones and corrected ones. A reversed gradient trains both in one step. Cap the norms of its
    layers, `modulation: {discriminator.*: {mode: cap, target: 1}}`, which keeps the game stable
    (Miyato et al. 2018, arXiv 1802.05957).
    """

    def __init__(
        self,
        autoencoder: Autoencoder,
        modalities: Mapping[str, Modality],
        config: BlockConfig | None = None,
    ) -> None:
        """Build the dense layers and the discriminator."""
        super().__init__(autoencoder, modalities, config)
        size, width = self.latent.size, self.config.corrector_width
        self.corrector = dense(size, width, width, width, size)
        self.discriminator = dense(size, width, width, 1)

    def restore(self, autoencoder: Autoencoder, observed: Signals) -> tuple[Signals, Signals]:
        """Map the joint latent to the clean one, and decode it."""
        with self.frozen():
            joint = self.latent.join(autoencoder.encode(observed))
        latents = self.latent.split(self.corrector(joint))
        return latents, autoencoder.decode(latents)

    def own_terms(self, autoencoder: Autoencoder, step_data: StepData) -> dict[str, Tensor]:
        """How well clean and corrected latents are told apart; the corrector is taught to hide."""
        with torch.no_grad():
            real = self.latent.join(autoencoder.encode(step_data.clean))
        fake = Reversal.apply(self.latent.join(step_data.corrected.latents))  # type: ignore[no-untyped-call]
        terms = [
            binary_cross_entropy_with_logits(logits, torch.full_like(logits, truth))
            for joint, truth in ((real, 1.0), (fake, 0.0))
            for logits in (self.discriminator(joint).float(),)
        ]
        return {'adversarial': (terms[0] + terms[1]) / 2}
