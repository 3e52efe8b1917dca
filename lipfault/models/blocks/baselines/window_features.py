"""Features of all modalities of a window, with the prediction of each from the others."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from lipfault.modality import Modality, Signals
from lipfault.models.blocks.baselines.clean_features import (
    CENTERS,
    ImageFeatures,
    ModalityFeatures,
    SeriesFeatures,
)
from lipfault.models.blocks.baselines.clean_models import KernelRegression

FITTED = 0.6
"""Share of the clean windows on which the models are fitted; the others set the scales."""


class WindowFeatures(nn.Module):
    """Logarithms of the residuals of closed-form clean models, of any number of modalities.

    A kernel regression predicts the principal components of an image, or the mean of each channel
    of a series, from the summaries of the other modalities; a single modality has none.

    Args:
        modalities: Description of each modality.
        steps: Time steps of the window of each series.
    """

    def __init__(self, modalities: Mapping[str, Modality], steps: Mapping[str, int]) -> None:
        """Build the unfitted models."""
        super().__init__()
        several = len(modalities) > 1
        parts = {
            n: ImageFeatures(m, several) if m.size else SeriesFeatures(m, steps[n], several)
            for n, m in modalities.items()
        }
        self.sizes = {n: part.count for n, part in parts.items()}
        summary = sum(part.summary_count for part in parts.values())
        self.parts = nn.ModuleDict(parts)
        self.predictors = nn.ModuleDict(
            {
                n: KernelRegression(summary - part.summary_count, part.target_count, CENTERS)
                for n, part in parts.items()
                if several
            }
        )

    @torch.no_grad()
    def fit(self, standardized: Signals, physical: Signals) -> int:
        """Fit the models on the first clean windows, and the scales on the others.

        Args:
            standardized: Clean signals, standardized, in the order of the recording.
            physical: The same signals in physical units.

        Returns:
            Number of windows on which the models are fitted.
        """
        count = len(next(iter(standardized.values())))
        end = max(1, round(FITTED * count))
        fitted, of_fitted = ({n: x[:end] for n, x in s.items()} for s in (standardized, physical))
        for name, part in self._parts().items():
            part.fit(fitted[name], of_fitted[name])
        summaries = self._summaries(fitted, of_fitted)
        for name, predictor in self._predictors().items():
            predictor.fit(_others(summaries, name), self._parts()[name].target(fitted[name]))
        rest, of_rest = ({n: x[end:] for n, x in s.items()} for s in (standardized, physical))
        predicted = self._predicted(self._summaries(rest, of_rest))
        for name, part in self._parts().items():
            part.fit_scale(rest[name], of_rest[name], predicted.get(name))
        return end

    def forward(self, standardized: Signals, physical: Signals) -> Tensor:
        """Compute the features.

        Args:
            standardized: Signals, standardized.
            physical: The same signals in physical units.

        Returns:
            (batch, feature), float32, the features of each modality in order, see `sizes`.
        """
        predicted = self._predicted(self._summaries(standardized, physical))
        each = [
            part(standardized[name], physical[name], predicted.get(name))
            for name, part in self._parts().items()
        ]
        return torch.cat(each, dim=1)

    def _summaries(self, standardized: Signals, physical: Signals) -> Signals:
        """Summary of each modality, (batch, feature)."""
        return {n: p.summary(standardized[n], physical[n]) for n, p in self._parts().items()}

    def _predicted(self, summaries: Signals) -> Signals:
        """Prediction of each modality from the others, (batch, target); empty for a single one."""
        return {n: p(_others(summaries, n)) for n, p in self._predictors().items()}

    def _parts(self) -> dict[str, ModalityFeatures]:
        """Features of each modality."""
        return {n: p for n, p in self.parts.items() if isinstance(p, ModalityFeatures)}

    def _predictors(self) -> dict[str, KernelRegression]:
        """Regression of each modality on the others."""
        return {n: p for n, p in self.predictors.items() if isinstance(p, KernelRegression)}


def _others(summaries: Signals, name: str) -> Tensor:
    """Summaries of all modalities but one, (batch, feature)."""
    return torch.cat([s for n, s in summaries.items() if n != name], dim=1)
