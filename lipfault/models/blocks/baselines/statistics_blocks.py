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
from lipfault.models.layers.chunks import features_in_chunks

LEAST_WINDOWS = 10
"""Clean windows without which no statistic can be fitted."""

LEAST_MOTION = 1e-3
"""Smallest share of moving pixels that counts."""

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
        # An image has one feature more, its stillness.
        sizes = [c + (self.kinds[n] == 'image') for n, c in self.models.sizes.items()]
        self.detector = self.score(sizes)

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
        """Compute the residual features of moving images.

        Args:
            signals: Observed signals, standardized.
            latents: Without effect.

        Returns:
            (batch, feature), float32.
        """
        return self.observed_features(Observation(signals))

    def observed_features(self, observation: Observation) -> Tensor:
        """Compute the residual features, and the stillness of images; in training detached.

        Args:
            observation: The batch, standardized.

        Returns:
            (batch, feature), float32.
        """
        signals = observation.signals
        # Sensors agree to a millionth of their variance, below the resolution of bfloat16.
        device = next(iter(signals.values())).device.type
        with self.frozen(), torch.autocast(device, enabled=False):
            found = self.models(signals, self.autoencoder.physical(signals))
        parts = []
        for name, part in zip(
            self.models.sizes, found.split(list(self.models.sizes.values()), dim=1), strict=True
        ):
            parts.append(part)
            if self.kinds[name] == 'image':
                moving = 1 - observation.stillness(name).float()
                parts.append(moving.clamp_min(LEAST_MOTION).log())
        return torch.cat(parts, dim=1)

    def detect(self, observation: Observation) -> Detection:
        """Score the features of the observed signals.

        Args:
            observation: The batch, standardized.

        Returns:
            Logits and scaled features, without fault maps.
        """
        with self.frozen():
            latents = self.autoencoder.encode(observation.signals)
        scaled = self.detector.scaled(self.observed_features(observation))
        return Detection(self.detector(scaled), scaled, scaled, {}, latents)

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
        found = features_in_chunks(rest, lambda part: self.features(part, {}))
        self.detector.fit_clean(found)


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
