"""Detectors of closed-form statistics: Mahalanobis distance, logistic regression, boosted trees."""

import math
from abc import abstractmethod
from importlib import import_module
from typing import Any

import torch
from torch import Tensor

from lipfault.errors import LipfaultError
from lipfault.models.blocks.interface.detector import IdentityEmbedding

LEAST_SPREAD = 0.02
"""Added to the standard deviation of each feature, so that a constant one cannot dominate."""

COVARIANCE_SHARE = 0.7
"""Share of the clean windows on which covariances are fitted; the others calibrate distances."""

TREES = 150
"""Boosted trees per modality."""

DEPTH = 5
"""Largest depth of a tree."""

RATE = 0.1
"""Learning rate of the boosting."""


def scikit_learn(module: str) -> Any:  # noqa: ANN401
    """Import a module of scikit-learn.

    Args:
        module: Its name inside `sklearn`.

    Returns:
        The module.

    Raises:
        LipfaultError: If scikit-learn is not installed.
    """
    try:
        return import_module(f'sklearn.{module}')
    except ImportError as error:
        raise LipfaultError(
            f"block.kind statistics_*: pip install 'lipfault[baselines]': {error}"
        ) from error


class StatisticScore(IdentityEmbedding):
    """Standard scores of features, and a fitted logit per modality.

    Args:
        sizes: Number of features of each modality, in order.
    """

    mean: Tensor
    spread: Tensor

    def __init__(self, sizes: list[int]) -> None:
        """Start at a mean of zero and a spread of one."""
        super().__init__()
        self.sizes = sizes
        self.register_buffer('mean', torch.zeros(sum(sizes)))
        self.register_buffer('spread', torch.ones(sum(sizes)))

    @torch.no_grad()
    def fit_clean(self, features: Tensor) -> None:
        """Fit mean and spread of the features on clean windows.

        Args:
            features: (window, feature).
        """
        self.mean.copy_(features.mean(dim=0))
        self.spread.copy_(features.std(dim=0, correction=0) + LEAST_SPREAD)

    def scaled(self, features: Tensor, is_clean: Tensor | None = None) -> Tensor:
        """Compute standard scores.

        Args:
            features: (batch, feature).
            is_clean: Without effect: the scale is fitted before training.

        Returns:
            (batch, feature).
        """
        return (features - self.mean) / self.spread


class MahalanobisScore(StatisticScore):
    """Log of the squared Mahalanobis distance of all features, in standard scores.

    The logits of the modalities share the score of all features among them by the distances of
    their own features: their log-sum-exp is that score. The covariances are shrunk towards a
    multiple of the identity.

    Args:
        sizes: Number of features of each modality, in order.

    Reference:
        Hotelling's T2 with the covariance of Ledoit and Wolf 2004, *A well-conditioned estimator
        for large-dimensional covariance matrices*, https://doi.org/10.1016/S0047-259X(03)00096-4.
    """

    precision: Tensor
    center: Tensor
    deviation: Tensor

    def __init__(self, sizes: list[int]) -> None:
        """Start at the Euclidean distance."""
        super().__init__(sizes)
        size, count = sum(sizes), len(sizes) + 1
        self.register_buffer('precision', torch.eye(size, dtype=torch.float64))
        for index, part in enumerate(sizes):
            self.register_buffer(f'precision_{index}', torch.eye(part, dtype=torch.float64))
        self.register_buffer('center', torch.zeros(count, dtype=torch.float64))
        self.register_buffer('deviation', torch.ones(count, dtype=torch.float64))

    @torch.no_grad()
    def fit_clean(self, features: Tensor) -> None:
        """Fit the covariances, and the standard scores of the distances, on clean windows.

        The covariances are fitted on the first windows, the scores on the others: distances of
        fitted windows are smaller than new ones.

        Args:
            features: (window, feature), in the order of the recording.

        Raises:
            LipfaultError: If scikit-learn is not installed.
        """
        first = max(2, round(COVARIANCE_SHARE * len(features)))
        super().fit_clean(features[:first])
        scaled = self.scaled(features).double()
        fitted = scaled[:first]
        self.precision.copy_(_precision(fitted))
        for index, part in enumerate(torch.split(fitted, self.sizes, dim=1)):
            self.get_buffer(f'precision_{index}').copy_(_precision(part))
        distances = self._log_distances(scaled[first:])
        self.center.copy_(distances.mean(dim=0))
        self.deviation.copy_(distances.std(dim=0, correction=0).clamp_min(1e-6))

    def forward(self, embedding: Tensor) -> Tensor:
        """Share the score of all features among the modalities.

        Args:
            embedding: (batch, feature), scaled.

        Returns:
            Logits (batch, modality), float32.
        """
        scores = (self._log_distances(embedding) - self.center) / self.deviation
        return (scores[:, -1:] + scores[:, :-1].log_softmax(dim=1)).float()

    def _log_distances(self, scaled: Tensor) -> Tensor:
        """Log of the squared distances of each modality, then of all, (batch, M + 1), float64."""
        scaled = scaled.double()
        names = [f'precision_{index}' for index in range(len(self.sizes))]
        features = [*torch.split(scaled, self.sizes, dim=1), scaled]
        parts = zip(features, [*names, 'precision'], strict=True)
        squares = [((part @ self.get_buffer(name)) * part).sum(dim=1) for part, name in parts]
        return torch.stack(squares, dim=1).clamp_min(1e-12).log()


def _precision(scaled: Tensor) -> Tensor:
    """Inverse of the shrunk covariance, (feature, feature), float64."""
    found = scikit_learn('covariance').LedoitWolf(assume_centered=True).fit(scaled.cpu().numpy())
    return torch.from_numpy(found.precision_)


class TrainedScore(StatisticScore):
    """A classifier of the features for each modality, fitted on windows with and without faults."""

    @torch.no_grad()
    def fit_faults(self, scaled: Tensor, modality: Tensor) -> None:
        """Fit the classifier of each modality; one with a single class keeps its logits.

        Args:
            scaled: (window, feature), output of `scaled`.
            modality: (window, modality) bool, the faulty modalities.

        Raises:
            LipfaultError: If scikit-learn is not installed.
        """
        for index in range(len(self.sizes)):
            faulty = modality[:, index]
            if faulty.any() and not faulty.all():
                self.fit_one(index, scaled, faulty)

    @abstractmethod
    def fit_one(self, index: int, scaled: Tensor, faulty: Tensor) -> None:
        """Fit the classifier of one modality.

        Args:
            index: Position of the modality.
            scaled: (window, feature), output of `scaled`.
            faulty: (window,) bool, both values occur.
        """


class LogisticScore(TrainedScore):
    """Logistic regression.

    Args:
        sizes: Number of features of each modality, in order.
    """

    weight: Tensor
    bias: Tensor

    def __init__(self, sizes: list[int]) -> None:
        """Start at logits of zero."""
        super().__init__(sizes)
        self.register_buffer('weight', torch.zeros(len(sizes), sum(sizes), dtype=torch.float64))
        self.register_buffer('bias', torch.zeros(len(sizes), dtype=torch.float64))

    def fit_one(self, index: int, scaled: Tensor, faulty: Tensor) -> None:
        """Fit the coefficients of one modality.

        Args:
            index: Position of the modality.
            scaled: (window, feature), output of `scaled`.
            faulty: (window,) bool, both values occur.
        """
        model = scikit_learn('linear_model').LogisticRegression(C=0.01, max_iter=300)
        model.fit(_bounded(scaled).double().cpu().numpy(), faulty.cpu().numpy())
        self.weight[index] = torch.from_numpy(model.coef_[0])
        self.bias[index] = float(model.intercept_[0])

    def forward(self, embedding: Tensor) -> Tensor:
        """Compute the log odds.

        Args:
            embedding: (batch, feature), scaled.

        Returns:
            Logits (batch, modality), float32.
        """
        return (_bounded(embedding).double() @ self.weight.T + self.bias).float()


class BoostingScore(TrainedScore):
    """Gradient boosted regression trees, kept and evaluated as tensors.

    Args:
        sizes: Number of features of each modality, in order.

    Reference:
        Friedman 2001, *Greedy Function Approximation: A Gradient Boosting Machine*,
        https://doi.org/10.1214/aos/1013203451.
    """

    feature: Tensor
    limit: Tensor
    left: Tensor
    right: Tensor
    value: Tensor

    def __init__(self, sizes: list[int]) -> None:
        """Start with trees of one leaf and the value zero."""
        super().__init__(sizes)
        shape = (len(sizes), TREES, 2 ** (DEPTH + 1) - 1)
        for name in ('feature', 'left', 'right'):
            self.register_buffer(name, torch.zeros(shape, dtype=torch.long))
        for name in ('limit', 'value'):
            self.register_buffer(name, torch.zeros(shape, dtype=torch.float64))

    def fit_one(self, index: int, scaled: Tensor, faulty: Tensor) -> None:
        """Fit the trees of one modality.

        Args:
            index: Position of the modality.
            scaled: (window, feature), output of `scaled`.
            faulty: (window,) bool, both values occur.
        """
        # A subset of features at each split and of samples for each tree, for speed.
        features = max(1, math.isqrt(scaled.shape[1]))
        model = scikit_learn('ensemble').GradientBoostingClassifier(
            n_estimators=TREES, max_depth=DEPTH, learning_rate=RATE, subsample=0.5,
            max_features=features, min_samples_leaf=5, init='zero', random_state=0,
        )  # fmt: skip
        model.fit(scaled.float().cpu().numpy(), faulty.cpu().numpy())
        for number, tree in enumerate(model.estimators_[:, 0]):
            self._keep_tree(index, number, tree.tree_)

    def _keep_tree(self, index: int, number: int, tree: Any) -> None:  # noqa: ANN401
        """Copy one tree; a leaf points to itself."""
        rows, count = (index, number), tree.node_count
        leaf = torch.from_numpy(tree.children_left) < 0
        own = torch.arange(count)
        for name, children in (('left', tree.children_left), ('right', tree.children_right)):
            kept = torch.where(leaf, own, torch.from_numpy(children))
            self.get_buffer(name)[rows][:count] = kept.to(self.left)
        self.feature[rows][:count] = torch.from_numpy(tree.feature).clamp_min(0).to(self.feature)
        self.limit[rows][:count] = torch.from_numpy(tree.threshold).to(self.limit)
        self.value[rows][:count] = RATE * torch.from_numpy(tree.value[:, 0, 0]).to(self.value)

    def forward(self, embedding: Tensor) -> Tensor:
        """Sum the values of the leaves that a sample reaches.

        Args:
            embedding: (batch, feature), scaled.

        Returns:
            Logits (batch, modality), float32.
        """
        logits = []
        for index in range(len(self.sizes)):
            tree = torch.arange(TREES, device=embedding.device)
            node = torch.zeros(len(embedding), TREES, dtype=torch.long, device=embedding.device)
            for _ in range(DEPTH):
                values = embedding.float().gather(1, self.feature[index][tree, node])
                goes_left = values.double() <= self.limit[index][tree, node]
                children = (self.left[index][tree, node], self.right[index][tree, node])
                node = torch.where(goes_left, *children)
            logits.append(self.value[index][tree, node].sum(dim=1))
        return torch.stack(logits, dim=1).float()


def _bounded(scaled: Tensor) -> Tensor:
    """Standard scores bounded to 10 in magnitude, so that no outlier dominates the fit."""
    return scaled.clamp(-10, 10)
