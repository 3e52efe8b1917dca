"""Modality dropout: a network that has learned to do without any one sensor."""

from collections.abc import Mapping

import torch
from torch import Tensor

from lipfault.losses import reconstruction
from lipfault.modality import Modality
from lipfault.models.autoencoder.autoencoder import Autoencoder, Signals
from lipfault.models.blocks.base import BlockConfig, StepData
from lipfault.models.blocks.baselines.base import ReconstructionBlock
from lipfault.models.layers.mlp import dense


class ModalityDropoutBlock(ReconstructionBlock):
    """Dense layers on the joint latent, trained with whole modalities left out at random.

    As in ModDrop (Neverova et al. 2016, doi:10.1109/TPAMI.2015.2461544): one modality, drawn at
    random, stays; each of the others is left out half of the time. What is left out is zero, the
    mean of standardized signals. Outside training nothing is left out.
    """

    def __init__(
        self,
        autoencoder: Autoencoder,
        modalities: Mapping[str, Modality],
        config: BlockConfig | None = None,
    ) -> None:
        """Build the dense layers."""
        super().__init__(autoencoder, modalities, config)
        size, width = self.latent.size, self.config.corrector_width
        self.corrector = dense(size, width, width, width, size)

    def restore(self, autoencoder: Autoencoder, observed: Signals) -> tuple[Signals, Signals]:
        """Map the joint latent to the clean one, and decode it."""
        with self.frozen():
            joint = self.latent.join(autoencoder.encode(observed))
        latents = self.latent.split(self.corrector(joint))
        return latents, autoencoder.decode(latents)

    def own_terms(self, autoencoder: Autoencoder, step_data: StepData) -> dict[str, Tensor]:
        """Error of what is restored without the modalities left out."""
        if len(self.kinds) == 1:
            return {}
        kept = self.kept(step_data)
        restored = self.restore(autoencoder, kept)[1]
        return {'dropped': reconstruction(restored, step_data.clean)}

    def kept(self, step_data: StepData) -> Signals:
        """The observed signals without what is left out of this step_data."""
        left_out = step_data.draws.uniform('dropped', (len(self.kinds),)) < 0.5
        stays = step_data.draws.integers('stays', 0, len(self.kinds) - 1)[:, None]
        left_out = left_out.scatter(1, stays, torch.zeros_like(left_out[:, :1]))
        return {
            n: x.masked_fill(left_out[:, i].view(-1, *[1] * (x.dim() - 1)), 0.0)
            for i, (n, x) in enumerate(step_data.observed.items())
        }
