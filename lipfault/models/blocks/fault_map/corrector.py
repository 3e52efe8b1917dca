"""The corrector: dense layers that infer the latent of what is hidden from what is left."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

Signals = dict[str, Tensor]


class Corrector(nn.Module):
    """Dense residual network on the joint latent.

    It starts from a guess, the latent of the kept part of every modality with what the other
    modalities predict in the places of what is hidden, and refines it.

    Args:
        latent_shapes: For each modality (latent channel, position ...).
        map_sizes: For each modality the numbers in its summarized fault map.
        width: Hidden units.
    """

    def __init__(
        self,
        latent_shapes: Mapping[str, tuple[int, ...]],
        map_sizes: Mapping[str, int],
        width: int = 768,
    ) -> None:
        """Build the layers; the last ones start at zero, so that it starts as the identity."""
        super().__init__()
        sizes = {n: int(torch.Size(s).numel()) for n, s in latent_shapes.items()}
        self.trunk = nn.Sequential(
            nn.Linear(2 * sum(sizes.values()) + sum(map_sizes.values()), width),
            nn.GELU(),
            nn.Linear(width, width),
            nn.GELU(),
        )
        self.heads = nn.ModuleDict({n: nn.Linear(width, s) for n, s in sizes.items()})
        for head in self.heads.values():
            nn.init.zeros_(head.weight)  # type: ignore[arg-type]
            nn.init.zeros_(head.bias)  # type: ignore[arg-type]

    def forward(self, kept: Signals, guesses: Signals, maps: Signals) -> Signals:
        """Infer the latent of the clean signals.

        Args:
            kept: Latent of the signals with the hidden places set to their mean.
            guesses: Latents to start from.
            maps: Summarized fault maps (batch, map size), 1 where hidden.

        Returns:
            Latent of each modality, shaped as it came.
        """
        parts = [z.flatten(1) for z in (*kept.values(), *guesses.values())]
        hidden = self.trunk(torch.cat([*parts, *(maps[n] for n in kept)], dim=1))
        return {n: z + self.heads[n](hidden).view_as(z) for n, z in guesses.items()}
