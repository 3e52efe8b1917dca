"""The numbers inside the figures, against known values and independent implementations."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from synthetic_run import split_arrays, stage_2_metrics

from lipfault.report.damage import LEAST_FAULTS, recall_by_damage
from lipfault.report.detection import roc
from lipfault.report.localization import confusion
from lipfault.report.recall import recall_table
from lipfault.report.recovery import correction_scores, ratio
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
    assert {'skill/arm', 'skill_pca/arm', 'recovery/oracle'} <= {tile.key for tile in shown}


def test_summary_names_the_cost_for_clean_input(tmp_path_factory: pytest.TempPathFactory) -> None:
    metrics = stage_2_metrics()
    assert summary(run_with(metrics, tmp_path_factory)) == (
        'F1 is 0.984 at a false-alarm rate of 1.2 %. The predicted faulty modality is correct for '
        '99.3 % of detected faults. The correction removes 85 % (72 % on unseen kinds) of the '
        'error by faults and raises the error on clean input by 1.2 %.'
    )
    metrics['clean/degradation'] = -0.02
    assert 'and lowers the error on clean input by 2.0 %' in summary(
        run_with(metrics, tmp_path_factory)
    )
    metrics['clean/degradation'] = float('nan')
    assert summary(run_with(metrics, tmp_path_factory)).endswith('of the error by faults.')
    assert summary(run_with({'skill/arm': 0.9}, tmp_path_factory)) == ''
