import numpy as np
import pytest
from scipy.stats import false_discovery_control

from lipfault.audit.pvalues import benjamini_hochberg, fit_tail, p_values, q_values, robust_z


def test_q_values_equal_those_of_scipy() -> None:
    p = np.random.default_rng(0).uniform(size=500) ** 3
    np.testing.assert_allclose(q_values(p), false_discovery_control(p, method='bh'), rtol=1e-12)
    assert q_values(np.empty(0)).size == 0


def test_false_discoveries_are_controlled() -> None:
    """The mean share of false rejections stays at the rate times the share of true nulls."""
    rng, shares = np.random.default_rng(1), []
    for _ in range(300):
        p = np.r_[rng.uniform(size=180), rng.uniform(size=20) * 1e-4]
        made = benjamini_hochberg(p, 0.1)
        shares.append(made[:180].sum() / max(made.sum(), 1))
    assert np.mean(shares) < 0.11


@pytest.mark.parametrize('scale', [0.3, 1.0])
def test_p_values_of_heavy_scores_are_about_uniform(scale: float) -> None:
    """Scores with Pareto tails of any index, and channels of different size and index."""
    rng = np.random.default_rng(2)
    scores = np.expm1(rng.exponential(scale, (100, 40)) + rng.uniform(0, 3, 40))
    p = p_values(robust_z(scores))
    for level in (0.2, 0.05, 0.01, 0.001):
        assert np.mean(p <= level) < 1.6 * level + 3e-4, level
    assert np.mean(p <= 0.05) > 0.02


def test_faults_do_not_hide_themselves() -> None:
    rng = np.random.default_rng(3)
    scores = np.expm1(rng.exponential(0.5, (60, 30)))
    alone = scores.copy()
    alone[0, 0] = 1e4
    many = scores.copy()
    many[:2] = 1e4  # 3 % of all scores
    assert p_values(robust_z(alone))[0, 0] < 1e-7
    assert p_values(robust_z(many))[0].max() < 1e-4


def test_few_equal_and_undefined_scores_have_defined_p_values() -> None:
    assert fit_tail(np.arange(5.0)) is None
    equal = p_values(robust_z(np.ones((10, 3))))
    assert (equal > 0.5).all()
    scores = np.full((6, 2), np.nan)
    assert (p_values(robust_z(scores)) == 1).all()
    scores[:, 0] = [1, 2, 3, 4, 5, 6]
    p = p_values(robust_z(scores))
    assert (p[:, 1] == 1).all()
    assert (np.diff(p[:, 0]) < 0).all()
