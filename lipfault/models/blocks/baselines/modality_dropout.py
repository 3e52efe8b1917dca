"""Modality dropout: a network trained to do without any one sensor."""

import torch
from torch import Tensor

from lipfault.losses import reconstruction
from lipfault.modality import Signals
from lipfault.models.blocks.baselines.base import LatentMlpBlock
from lipfault.models.blocks.interface.types import StepData


class ModalityDropoutBlock(LatentMlpBlock):
    """Dense layers on the joint latent, trained with whole modalities dropped at random.

    One modality, drawn at random, is kept; each of the others is dropped with probability 1/2. A
    dropped modality is zero, the mean of standardized signals. Outside training nothing is dropped.

    Reference:
        Neverova et al. 2016, *ModDrop: Adaptive Multi-Modal Gesture Recognition*,
        https://arxiv.org/abs/1501.00102.
    """

    def own_terms(self, step_data: StepData) -> dict[str, Tensor]:
        """Return the error of the reconstruction without the dropped modalities.

        Args:
            step_data: Inputs, targets and outputs of the training step.

        Returns:
            The scalar `dropped`; empty for a single modality.
        """
        if len(self.kinds) == 1:
            return {}
        reconstructed = self.reconstruct(self.kept(step_data))[1]
        return {'dropped': reconstruction(reconstructed, step_data.clean)}

    def kept(self, step_data: StepData) -> Signals:
        """Drop modalities from the observed signals.

        Args:
            step_data: Inputs of the training step, with its random numbers.

        Returns:
            Standardized signals, zero where a modality is dropped.
        """
        draws = step_data.draws
        dropped = draws.uniform('dropped', (len(self.kinds),)) < 0.5
        kept = draws.integers('stays', 0, len(self.kinds) - 1)[:, None]
        dropped = dropped.scatter(1, kept, torch.zeros_like(dropped[:, :1]))
        return {
            n: x.masked_fill(dropped[:, i].view(-1, *[1] * (x.dim() - 1)), 0.0)
            for i, (n, x) in enumerate(step_data.observation.signals.items())
        }
