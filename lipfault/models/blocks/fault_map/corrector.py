"""The corrector: the clean latent inferred from the unmasked signals."""

from collections.abc import Mapping

import torch
from torch import nn

from lipfault.modality import Signals


class Corrector(nn.Module):
    """Dense residual network on the joint latent.

    The corrector adds to a closed-form guess: the latent of the unmasked part of every modality,
    with the cross-modal prediction at masked positions.

    Args:
        latent_shapes: For each modality (latent channel, position ...).
        map_sizes: For each modality the features of its summarized fault map.
        width: Hidden units.
    """

    def __init__(
        self,
        latent_shapes: Mapping[str, tuple[int, ...]],
        map_sizes: Mapping[str, int],
        width: int = 768,
    ) -> None:
        """Build the layers; the heads start at zero, so that the output starts as the guess."""
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
        """Infer the latents of the clean signals.

        Args:
            kept: Latents of the signals with masked positions at their mean, each
                (batch, latent channel, position ...).
            guesses: Latents to add to, shaped as `kept`.
            maps: Summarized masks (batch, map size), 1 where masked.

        Returns:
            The latent of each modality, shaped as `kept`.
        """
        parts = [z.flatten(1) for z in (*kept.values(), *guesses.values())]
        hidden = self.trunk(torch.cat([*parts, *(maps[n] for n in kept)], dim=1))
        return {n: z + self.heads[n](hidden).view_as(z) for n, z in guesses.items()}
