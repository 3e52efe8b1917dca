"""Outlier detectors of PyOD, one per modality."""

from collections.abc import Callable
from importlib import import_module
from typing import Any

import torch
from torch import Tensor

from lipfault.errors import LipfaultError

DETECTORS: dict[str, tuple[str, str, dict[str, Any]]] = {
    'ecod': ('pyod.models.ecod', 'ECOD', {}),
    'isolation_forest': (
        'pyod.models.iforest',
        'IForest',
        {'n_estimators': 200, 'random_state': 0},
    ),
    'knn': ('pyod.models.knn', 'KNN', {'n_neighbors': 5}),
}
"""Module, class and settings: PyOD's defaults, with a fixed seed and 200 instead of 100 trees."""

Features = dict[str, Tensor]
"""Features of windows by modality, (window, feature)."""

MAD_TO_STD = 1.4826
"""Standard deviation over median absolute deviation of a normal distribution."""


def new_detector(name: str) -> Any:  # noqa: ANN401
    """Return an unfitted detector of PyOD.

    Args:
        name: Key of `DETECTORS`.

    Raises:
        LipfaultError: If PyOD is not installed.

    Reference:
        PyOD, https://arxiv.org/abs/1901.01588; ECOD, https://arxiv.org/abs/2201.00382; isolation
        forest, https://doi.org/10.1109/ICDM.2008.17; k nearest neighbours,
        https://doi.org/10.1145/342009.335437.
    """
    module, kind, settings = DETECTORS[name]
    try:
        return getattr(import_module(module), kind)(**settings)
    except ImportError as error:
        raise LipfaultError(
            f"pip install 'lipfault[baselines]' for this experiment: {error}"
        ) from error


class PerModality:
    """One outlier detector per modality, with scores standardized on clean windows.

    Args:
        make: Returns an unfitted detector with `fit` and `decision_function`.
    """

    def __init__(self, make: Callable[[], Any]) -> None:
        """Start without detectors; `fit` makes them."""
        self.make = make
        self.detectors: dict[str, Any] = {}
        self.scale: dict[str, tuple[Tensor, Tensor]] = {}

    def fit(self, train: Features, held_back: Features) -> None:
        """Fit the detectors, and median and deviation of their scores, on clean windows.

        Args:
            train: Features to fit the detectors on, (window, feature) by modality.
            held_back: Features of other windows of the same split, for median and deviation:
                scores of the training windows themselves are lower.
        """
        for name, features in train.items():
            self.detectors[name] = self.make()
            self.detectors[name].fit(features.double().numpy())
            scores = self._scores(name, held_back[name])
            # Median and MAD: a few outliers among the clean windows must not set the scale.
            middle = scores.median()
            self.scale[name] = middle, (scores - middle).abs().median().clamp_min(1e-12)

    def logits(self, features: Features) -> Tensor:
        """Return the scores in robust standard deviations of clean windows.

        Args:
            features: Features by modality, (window, feature).

        Returns:
            Scores, (window, modality) float64.

        Reference:
            Rousseeuw and Croux, Alternatives to the median absolute deviation, 1993,
            https://doi.org/10.1080/01621459.1993.10476408.
        """
        parts = []
        for name, (middle, deviation) in self.scale.items():
            parts.append((self._scores(name, features[name]) - middle) / (MAD_TO_STD * deviation))
        return torch.stack(parts, dim=1)

    def _scores(self, name: str, features: Tensor) -> Tensor:
        return torch.as_tensor(self.detectors[name].decision_function(features.double().numpy()))
