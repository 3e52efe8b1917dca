"""Detectors of PyOD, one for each modality."""

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
"""Module, class and settings; the settings are PyOD's own but for the seed and more trees."""

Features = dict[str, Tensor]


def new_detector(name: str) -> Any:  # noqa: ANN401
    """A detector that knows nothing yet.

    Raises:
        LipfaultError: If PyOD is not installed.
    """
    module, kind, settings = DETECTORS[name]
    try:
        return getattr(import_module(module), kind)(**settings)
    except ImportError as error:
        raise LipfaultError(
            f"pip install 'lipfault[baselines]' for this experiment: {error}"
        ) from error


class PerModality:
    """One detector for each modality; its scores are compared with those of clean windows.

    Args:
        make: Makes a detector with `fit` and `decision_function`.
    """

    def __init__(self, make: Callable[[], Any]) -> None:
        """Know nothing until `fit`."""
        self.make = make
        self.detectors: dict[str, Any] = {}
        self.scale: dict[str, tuple[Tensor, Tensor]] = {}

    def fit(self, train: Features, held_back: Features) -> None:
        """Fit on clean windows; others, of the same split, say what is a normal score.

        Args:
            train: (window, feature) by modality.
            held_back: The same of windows that were not trained on.
        """
        for name, features in train.items():
            self.detectors[name] = self.make()
            self.detectors[name].fit(features.double().numpy())
            scores = self._scores(name, held_back[name])
            middle = scores.median()
            self.scale[name] = middle, (scores - middle).abs().median().clamp_min(1e-12)

    def logits(self, features: Features) -> Tensor:
        """(window, modality): scores in robust standard deviations of clean windows."""
        parts = []
        for name, (middle, deviation) in self.scale.items():
            parts.append((self._scores(name, features[name]) - middle) / (1.4826 * deviation))
        return torch.stack(parts, dim=1)

    def _scores(self, name: str, features: Tensor) -> Tensor:
        return torch.as_tensor(self.detectors[name].decision_function(features.double().numpy()))
