"""Features and scores of the outlier detectors, without and with PyOD."""

import pytest
import torch

from experiments.outliers.detectors import DETECTORS, PerModality, new_detector
from experiments.outliers.features import Features


class Distance:
    """Outlier detector: distance from the mean of the training samples."""

    def fit(self, samples):
        self.mean = samples.mean(0)

    def decision_function(self, samples):
        return ((samples - self.mean) ** 2).sum(1) ** 0.5


def test_the_faulty_modality_is_predicted_at_any_scale():
    torch.manual_seed(0)
    clean = {'a': torch.randn(400, 3), 'b': 1000 * torch.randn(400, 5)}
    detector = PerModality(Distance)
    detector.fit({n: x[:300] for n, x in clean.items()}, {n: x[300:] for n, x in clean.items()})
    faulty = {n: x[:100].clone() for n, x in clean.items()}
    faulty['a'][:50] += 20
    faulty['b'][50:] += 20_000
    predicted = detector.logits(faulty).argmax(dim=1)
    assert predicted.tolist() == [0] * 50 + [1] * 50
    normal = detector.logits({n: x[300:] for n, x in clean.items()})
    assert normal.median(dim=0).values.abs().max() < 0.1


def test_features_are_white_and_keep_the_residual(tiny_modalities):
    torch.manual_seed(0)
    signals = 3 * torch.randn(300, 2, 64)
    features = Features.fit(signals, tiny_modalities['force'])
    found = features(signals)
    assert found.shape == (300, 32 + 2)
    assert found[:, :32].std(dim=0).tolist() == pytest.approx([1.0] * 32, abs=1e-3)
    noisy = signals.clone()
    noisy[:, 1] += 30 * torch.randn(300, 64)
    rise = (features(noisy) - found)[:, 32:].mean(dim=0)
    assert rise[1] > 3
    assert abs(float(rise[0])) < abs(float(rise[1]))


@pytest.mark.parametrize('name', sorted(DETECTORS))
def test_pyod_scores_outliers_higher(name):
    pytest.importorskip('pyod')
    torch.manual_seed(0)
    clean = {'a': torch.randn(200, 4)}
    detector = PerModality(lambda: new_detector(name))
    detector.fit({'a': clean['a'][:150]}, {'a': clean['a'][150:]})
    scores = detector.logits({'a': torch.cat([clean['a'][:20], clean['a'][:20] + 6])})[:, 0]
    assert scores[20:].min() > scores[:20].max()
