"""One module for each modality, applied side by side."""

from collections.abc import Mapping

from torch import nn

from lipfault.modality import Signals


class PerModality(nn.Module):
    """Applies to the signal of each modality its own module; others pass unchanged.

    Args:
        parts: Modules by modality.
    """

    def __init__(self, parts: Mapping[str, nn.Module]) -> None:
        """Register the modules."""
        super().__init__()
        self.parts = nn.ModuleDict(parts)

    def forward(self, signals: Signals) -> Signals:
        """Apply the modules.

        Args:
            signals: Signals or latents, (batch, ...) each.

        Returns:
            The outputs of the modules by modality, in the order of the signals.
        """
        return {n: self.parts[n](x) if n in self.parts else x for n, x in signals.items()}
