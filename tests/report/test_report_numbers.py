"""The numbers inside the figures, against known values and independent implementations."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from synthetic_run import split_arrays, stage_2_metrics
from torchmetrics.functional.classification import binary_calibration_error

from lipfault.report.correction import energy_table
from lipfault.report.damage import LEAST_FAULTS, recall_by_damage
from lipfault.report.detection import roc
from lipfault.report.localization import confusion
from lipfault.report.recall import recall_table
from lipfault.report.recovery import correction_scores, median_ratio, ratio
from lipfault.report.reliability import reliability
from lipfault.report.results import Examples, NothingToShow, Split
from lipfault.report.run import Run
from lipfault.report.selection import most_affected_channels, select_samples
from lipfault.report.tiles import TILES, summary, tiles


@pytest.fixture
def split() -> Split:
    """A test split of two modalities."""
    return Split(**split_arrays(np.random.default_rng(3), 'seen', 2, count=400))


@given(
    clean=st.lists(st.integers(0, 6), min_size=1, max_size=30),
    faulty=st.lists(st.integers(0, 6), min_size=1, max_size=30),
)
@settings(max_examples=50, deadline=None)
def test_area_under_roc_is_the_rank_statistic(clean: list[int], faulty: list[int]) -> None:
    truth = np.array([False] * len(clean) + [True] * len(faulty))
    false_alarms, recall = roc(np.array([*clean, *faulty], dtype=float), truth)
    wins = stats.mannwhitneyu(faulty, clean).statistic
    expected = wins / len(clean) / len(faulty)
    assert np.trapezoid(recall, false_alarms) == pytest.approx(expected)
    assert (np.diff(recall) >= 0).all()
    assert (np.diff(false_alarms) >= 0).all()


@pytest.mark.parametrize(('truth', 'missing'), [(True, 'clean'), (False, 'faulty')])
def test_roc_needs_both_classes(truth: bool, missing: str) -> None:
    with pytest.raises(NothingToShow, match=missing):
        roc(np.arange(3.0), np.full(3, truth))


def test_recall_table_counts_each_fault_once(split: Split) -> None:
    recall, count = recall_table(split, 1.0, [0, 2])
    for row, kind in enumerate((0, 2)):
        for severity in range(1, 6):
            cell = split.faulty & (split.kind == kind) & (split.severity == severity)
            assert count[row, severity - 1] == cell.sum()
            if cell.any():
                share = (split.score[cell] > 1.0).mean()
                assert recall[row, severity - 1] == pytest.approx(share)


def test_recall_is_unknown_where_there_is_no_fault(split: Split) -> None:
    recall, count = recall_table(split, 1.0, [99])
    assert np.isnan(recall).all()
    assert not count.any()


@pytest.mark.parametrize(('found', 'count'), [(0, 8), (5, 9), (12, 12), (40, 70)])
def test_recall_by_damage_has_wilson_intervals(found: int, count: int) -> None:
    result = recall_by_damage(np.full(count, 2.0), np.arange(count) < found)
    expected = stats.binomtest(found, count).proportion_ci(method='wilson')
    _, recall, low, high = (float(values.item()) for values in result)
    assert recall == pytest.approx(found / count)
    assert (low, high) == pytest.approx((expected.low, expected.high), abs=1e-4)


def test_recall_by_damage_keeps_extremes_and_drops_rare_bins() -> None:
    damage = np.repeat([0.0, 10.0, 1e9], [LEAST_FAULTS, LEAST_FAULTS - 1, LEAST_FAULTS])
    centre, recall, _, _ = recall_by_damage(damage, damage > 1)
    assert recall.tolist() == [0.0, 1.0]
    assert centre[0] < 0.1
    assert centre[1] > 1000


def test_confusion_separates_misses_and_false_alarms() -> None:
    nothing = np.zeros(5)
    split = Split(**{**dict.fromkeys(Split.__dataclass_fields__, nothing),
                     'faulty': np.array([True, True, True, False, False]),
                     'modality': np.array([0, 0, 1, -1, -1]),
                     'predicted_modality': np.array([0, 1, 1, 0, 1]),
                     'score': np.array([2.0, 2.0, 0.5, 2.0, 0.5])})  # fmt: skip
    assert confusion(split, 1.0, 2).tolist() == [[1, 1, 0], [0, 0, 1], [1, 0, 1]]


def test_confusion_counts_all_samples(split: Split) -> None:
    assert confusion(split, 1.0, 2).sum() == len(split.score)


@pytest.mark.parametrize(
    ('corrected', 'expected'), [(1.0, 1.0), (3.0, 0.0), (2.0, 0.5), (5.0, -1.0)]
)
def test_recovery_of_each_kind(split: Split, corrected: float, expected: float) -> None:
    same = np.ones(len(split.score))
    known = Split(**{**vars(split), 'error_clean': same, 'error_uncorrected': 3 * same,
                     'error_corrected': corrected * same, 'energy_injected': 4 * same,
                     'energy_left': same})  # fmt: skip
    found = correction_scores(known)
    assert {(c.kind, c.modality) for c in found} == {
        (int(k), int(m))
        for k, m in zip(split.kind[split.faulty], split.modality[split.faulty], strict=True)
    }
    assert [c.recovery for c in found] == pytest.approx([expected] * len(found))
    assert [c.energy_left for c in found] == pytest.approx([0.25] * len(found))
    assert [c.pooled for c in found] == pytest.approx([0.25] * len(found))


def test_the_median_energy_ignores_the_largest_fault() -> None:
    part, whole = np.array([1.0, 1.0, 0.0, 7.0]), np.array([2.0, 4.0, 1000.0, 0.0])
    assert median_ratio(part, whole) == 0.25
    assert ratio(part[:3], whole[:3]) == pytest.approx(2 / 1006)
    assert np.isnan(median_ratio(part[3:], whole[3:]))


def test_the_energy_table_is_that_of_each_cell(split: Split) -> None:
    medians, worse = energy_table(split, split.fault_kinds)
    assert medians.shape == (len(split.fault_kinds), 6)
    changed = split.faulty & (split.energy_injected > 0)
    for row, kind in enumerate(split.fault_kinds):
        own = changed & (split.kind == kind)
        ratios = split.energy_left[own] / split.energy_injected[own]
        assert medians[row, 0] == pytest.approx(np.median(ratios))
        mild = ratios[split.severity[own] == 1]
        assert medians[row, 1] == pytest.approx(np.median(mild))
        faulty = split.faulty & (split.kind == kind)
        wanted = np.mean(split.energy_left[faulty] > split.energy_injected[faulty])
        assert worse[row] == pytest.approx(wanted)
    nothing = Split(**{**vars(split), 'energy_injected': np.zeros(len(split.score))})
    medians, worse = energy_table(nothing, split.fault_kinds[:1])
    assert np.isnan(medians).all()
    assert worse[0] > 0.9


@given(seed=st.integers(0, 30), count=st.integers(1, 80))
@settings(deadline=None)
def test_reliability_has_the_calibration_error_of_the_metrics(seed: int, count: int) -> None:
    rng = np.random.default_rng(seed)
    score, faulty = rng.normal(0, 4, count), rng.random(count) < 0.5
    predicted, observed, share = reliability(score, faulty)
    assert share.sum() == pytest.approx(1)
    assert (share * observed).sum() == pytest.approx(faulty.mean())
    wanted = binary_calibration_error(
        torch.from_numpy(score).sigmoid(), torch.from_numpy(faulty).int()
    )
    assert (np.abs(observed - predicted) * share).sum() == pytest.approx(float(wanted), abs=1e-6)
    assert np.isfinite(reliability(np.array([-1e4, 1e4]), np.array([False, True]))[0]).all()


@pytest.mark.parametrize('whole', [0.0, -1.0, np.nan])
def test_ratio_to_nothing_is_unknown(whole: float) -> None:
    assert np.isnan(ratio(np.ones(1), np.array([whole])))


def test_an_unknown_part_makes_the_ratio_unknown() -> None:
    assert np.isnan(ratio(np.array([1.0, np.nan]), np.ones(2)))


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(1, 5)), min_size=1, max_size=20))
@settings(deadline=None)
def test_picks_are_distinct_and_show_as_many_kinds_as_fit(samples: list[tuple[int, int]]) -> None:
    kind, severity = np.array(samples).T
    chosen = select_samples(kind, severity, 4)
    assert len(set(chosen)) == len(chosen) == min(4, len(samples))
    assert len(set(kind[chosen])) == min(len(chosen), len(set(kind)))


def test_most_affected_channels_are_measured_in_their_own_spread() -> None:
    clean = np.random.default_rng(0).standard_normal((3, 3, 20)) * np.array([[1], [100], [1]])
    faulty = clean + np.array([[0.0], [10.0], [1.0]])
    examples = Examples(
        name='arm', clean=clean, faulty=faulty, corrected=clean, reconstruction=None,
        reconstruction_faulty=None, reconstruction_corrected=clean, true_map=None,
        fault_map=None, kind=np.zeros(3), severity=np.ones(3),
        channels=('a', 'b', 'c'), units=('', '', ''),
    )  # fmt: skip
    assert most_affected_channels(examples, 0, 2) == [2, 1]


def run_with(metrics: dict[str, float], tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run that holds metrics only."""
    return Run(tmp_path_factory.getbasetemp(), metrics, {}, None, '', {})  # type: ignore[arg-type]


def test_tiles_show_what_the_run_has(tmp_path_factory: pytest.TempPathFactory) -> None:
    metrics = {**stage_2_metrics(), 'skill/arm': 0.9, 'skill_pca/arm': 0.8}
    shown = [t for group in tiles(run_with(metrics, tmp_path_factory)).values() for t in group]
    keys = {tile.key for tile in (*TILES, *shown)}
    assert {t.key: t.value for t in shown} == {k: metrics[k] for k in metrics if k in keys}
    ranges = {tile.key: tile.range for tile in shown if tile.range}
    assert ranges == {
        'corrector/energy_left': '0.35 to 0.52',
        'detection/false_alarm_rate': '0.2 % to 3.0 %',
    }
    assert {'skill/arm', 'localization/camera/aupro', 'recovery/oracle'} <= {t.key for t in shown}


def test_summary_names_the_cost_for_clean_input(tmp_path_factory: pytest.TempPathFactory) -> None:
    metrics = stage_2_metrics()
    assert summary(run_with(metrics, tmp_path_factory)) == (
        'F1 is 0.984 at a false-alarm rate of 1.2 %. The predicted faulty modality is correct for '
        '99.3 % of detected faults. The correction leaves 41 % of the error energy of a typical '
        'fault (35 % to 52 %) and makes 12 % of the faults worse. The correction removes 85 % '
        '(72 % on unseen kinds) of the error by faults and raises the error on clean input by '
        '1.2 %.'
    )
    metrics['clean/degradation'] = -0.02
    assert 'and lowers the error on clean input by 2.0 %' in summary(
        run_with(metrics, tmp_path_factory)
    )
    metrics['clean/degradation'] = float('nan')
    assert summary(run_with(metrics, tmp_path_factory)).endswith('of the error by faults.')
    assert summary(run_with({'skill/arm': 0.9}, tmp_path_factory)) == ''
