"""A module for each modality, side by side."""

from collections.abc import Mapping

from torch import Tensor, nn

Signals = dict[str, Tensor]


class PerModality(nn.Module):
    """Applies to the signal of each modality the part of its own; what has none stays.

    Args:
        parts: Modules by modality.
    """

    def __init__(self, parts: Mapping[str, nn.Module]) -> None:
        """Keep the parts."""
        super().__init__()
        self.parts = nn.ModuleDict(parts)

    def forward(self, signals: Signals) -> Signals:
        """Signals, or latents, (batch, ...) each."""
        return {n: self.parts[n](x) if n in self.parts else x for n, x in signals.items()}
