"""An adversarial multimodal autoencoder."""

from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from lipfault.models.blocks.baselines.base import LatentMlpBlock
from lipfault.models.blocks.interface.types import StepData
from lipfault.models.layers.mlp import mlp


class Reversal(torch.autograd.Function):
    """The identity with a reversed gradient.

    Reference:
        Ganin and Lempitsky 2015, https://arxiv.org/abs/1409.7495.
    """

    @staticmethod
    def forward(ctx: Any, values: Tensor) -> Tensor:  # noqa: ANN401
        """Return the values.

        Args:
            ctx: Context of autograd.
            values: A tensor of any shape.

        Returns:
            A view of the tensor, of the same shape.
        """
        return values.view_as(values)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:  # noqa: ANN401
        """Return the negative gradient.

        Args:
            ctx: Context of autograd.
            *grads: The gradient with respect to the output.

        Returns:
            The gradient with respect to the values, of the same shape.
        """
        return -grads[0]


class AdversarialBlock(LatentMlpBlock):
    """Dense layers on the joint latent, trained against a discriminator of clean latents.

    The discriminator classifies joint latents of stage 1 as clean or corrected. A reversed gradient
    trains both in one step. Cap the norms of its layers,
    `modulation: {discriminator.*: {mode: cap, target: 1}}`, for stability.

    Reference:
        Goodfellow et al. 2014, https://arxiv.org/abs/1406.2661; spectral normalization: Miyato et
        al. 2018, https://arxiv.org/abs/1802.05957.
    """

    def build(self) -> None:
        """Build the dense layers and the discriminator."""
        super().build()
        size, width = self.latent.size, self.config.corrector_width
        self.discriminator = mlp(size, width, width, 1)

    def own_terms(self, step_data: StepData) -> dict[str, Tensor]:
        """Return the discriminator's cross entropy, which the corrector ascends.

        Args:
            step_data: Inputs, targets and outputs of the training step.

        Returns:
            The scalar `adversarial`.
        """
        with torch.no_grad():
            real = self.latent.join(self.autoencoder.encode(step_data.clean))
        corrected = self.latent.join(step_data.correction.latents)
        fake = Reversal.apply(corrected)  # type: ignore[no-untyped-call]
        terms = [
            binary_cross_entropy_with_logits(logits, torch.full_like(logits, truth))
            for joint, truth in ((real, 1.0), (fake, 0.0))
            for logits in (self.discriminator(joint).float(),)
        ]
        return {'adversarial': (terms[0] + terms[1]) / 2}
