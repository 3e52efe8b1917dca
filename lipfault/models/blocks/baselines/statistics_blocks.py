"""Closed-form statistics of closed-form residuals: what an afternoon without networks reaches."""

from typing import ClassVar

import torch
from torch import Tensor

from lipfault.errors import LipfaultError
from lipfault.modality import Signals
from lipfault.models.blocks.baselines.statistics_scores import (
    BoostingScore,
    LogisticScore,
    MahalanobisScore,
    StatisticScore,
    TrainedScore,
    scikit_learn,
)
from lipfault.models.blocks.baselines.window_features import WindowFeatures
from lipfault.models.blocks.interface.base import WholeSignalBlock
from lipfault.models.blocks.interface.types import Detection, Observation, StepData
from lipfault.models.layers.chunks import CHUNK, chunks

LEAST_WINDOWS = 10
"""Clean windows without which no statistic can be fitted."""

KEPT = 30_000
"""Training windows whose features are kept for the fit of a classifier, the newest ones."""


class StatisticsBlock(WholeSignalBlock):
    """Detects by statistics of the residuals of closed-form models, without correction.

    The clean models are ridge regressions of each channel on the others and on its past, principal
    components of each image, and kernel ridge regressions of each modality on the others. The
    reconstruction is that of stage 1.
    """

    score: ClassVar[type[StatisticScore]]
    detector: StatisticScore

    def build(self) -> None:
        """Build the unfitted models and the detector."""
        self.models = WindowFeatures(self.modalities, self.autoencoder.steps)
        self.detector = self.score(list(self.models.sizes.values()))

    def reconstruct(self, signals: Signals) -> tuple[Signals, Signals]:
        """Reconstruct each modality from itself, by the autoencoder of stage 1.

        Args:
            signals: Observed signals, standardized.

        Returns:
            Latents, and the signals decoded from them.
        """
        latents = self.autoencoder.encode(signals)
        return latents, self.autoencoder.decode(latents)

    def features(self, signals: Signals, latents: Signals) -> Tensor:
        """Compute the residual features, in training without gradients.

        Args:
            signals: Observed signals, standardized.
            latents: Without effect.

        Returns:
            (batch, feature), float32.
        """
        # Sensors agree to a millionth of their variance, below the resolution of bfloat16.
        device = next(iter(signals.values())).device.type
        with self.frozen(), torch.autocast(device, enabled=False):
            return self.models(signals, self.autoencoder.physical(signals))

    @torch.no_grad()
    def fit_start(self, standardized: Signals) -> None:
        """Fit the models on most clean windows, and the statistics on the others.

        Args:
            standardized: Clean signals, standardized, in the order of the recording.

        Raises:
            LipfaultError: If scikit-learn is not installed, or there are too few windows.
        """
        scikit_learn('covariance')
        count = len(next(iter(standardized.values())))
        if count < LEAST_WINDOWS:
            raise LipfaultError(
                f'block.kind {self.config.kind}: needs at least {LEAST_WINDOWS} clean windows to '
                f'fit its statistics, got {count}'
            )
        fitted = self.models.fit(standardized, self.autoencoder.physical(standardized))
        rest = {n: x[fitted:] for n, x in standardized.items()}
        found = [self.features(part, {}) for part in chunks(rest, CHUNK)]
        self.detector.fit_clean(torch.cat(found))


class MahalanobisBlock(StatisticsBlock):
    """Scores by the Mahalanobis distance of the features; no fault is ever used for training."""

    score = MahalanobisScore


class TrainedStatisticsBlock(StatisticsBlock):
    """Collects the features of training windows, and fits a classifier when it is evaluated.

    The features of at most `KEPT` windows are kept in memory. A resumed training starts to collect
    anew.
    """

    detector: TrainedScore

    def build(self) -> None:
        """Build the unfitted models and the detector, without collected windows."""
        super().build()
        self._collected: list[tuple[Tensor, Tensor]] = []
        self._is_new = False

    def own_terms(self, step_data: StepData) -> dict[str, Tensor]:
        """Collect the features of the step.

        Args:
            step_data: The samples that train the detector are collected.

        Returns:
            Empty: nothing is trained by gradient.
        """
        rows = step_data.visible
        features = step_data.detection.scaled[rows].detach().float().cpu()
        self._collected.append((features, step_data.modality[rows].cpu()))
        while sum(len(f) for f, _ in self._collected[1:]) >= KEPT:
            del self._collected[0]
        self._is_new = True
        return {}

    def detect(self, observation: Observation) -> Detection:
        """Fit the classifiers if windows were collected since the last evaluation, then score.

        Args:
            observation: The batch, standardized.

        Returns:
            Logits and scaled features, without fault maps.
        """
        if self._is_new and not self.training:
            features, modality = (torch.cat(parts) for parts in zip(*self._collected, strict=True))
            self.detector.fit_faults(features, modality)
            self._is_new = False
        return super().detect(observation)


class LogisticBlock(TrainedStatisticsBlock):
    """Scores by a logistic regression of the features on the injected faults."""

    score = LogisticScore


class BoostingBlock(TrainedStatisticsBlock):
    """Scores by boosted trees of the features, trained on the injected faults."""

    score = BoostingScore
