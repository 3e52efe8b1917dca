"""Intervals of the metrics of stage 2 over test episodes."""

import torch

from lipfault.metrics.by_episode import area_under_roc, mean_of_medians, ratio_of_sums
from lipfault.metrics.intervals import Statistic, episode_numbers, intervals
from lipfault.metrics.recovery import energy_ratios
from lipfault.tasks.distributed import PerSample


def summarize_intervals(values: PerSample, threshold: float, split: str) -> dict[str, float]:
    """Compute 95 % intervals of the main metrics of a split, with episodes as units.

    Args:
        values: Per sample, from `lipfault.tasks.evaluation`, with `episode`.
        threshold: A higher score is an alarm.
        split: `seen` or `unseen`.

    Returns:
        `<key>_low` and `<key>_high` of F1, AUROC, recall, false alarm rate, recovery, energy left
        and share made worse, by the keys of these metrics.
    """
    episode, count = episode_numbers(values['episode'])
    values = values | {'episode': episode}
    statistics = _detection(values, threshold, count, split)
    statistics |= _correction(values, count, split)
    return intervals(statistics, count)


def rate_intervals(values: PerSample, threshold: float, split: str) -> dict[str, float]:
    """Compute 95 % intervals of F1 and recall at a fixed threshold, with episodes as units.

    Args:
        values: Per sample, from `lipfault.tasks.evaluation`, with `episode`.
        threshold: The threshold of a given false alarm rate.
        split: `seen` or `unseen`.

    Returns:
        `<key>_low` and `<key>_high` of `f1_at_rate` and `recall_at_rate`.
    """
    episode, count = episode_numbers(values['episode'])
    found = _detection(values | {'episode': episode}, threshold, count, split)
    kept = {f'{k}_at_rate': found[k] for k in found if k.split('/')[1] in ('f1', 'recall')}
    return intervals(kept, count)


def _detection(values: PerSample, threshold: float, count: int, split: str) -> dict[str, Statistic]:
    faulty, alarm, episode = values['faulty'], values['score'] > threshold, values['episode']
    right = (alarm & faulty).double()
    prefix = 'detection' if split == 'seen' else f'detection_{split}'
    ratios = {
        # TP + FN are the faulty samples, TP + FP the alarms.
        'f1': (2 * right, alarm.double() + faulty.double()),
        'recall': (right, faulty),
        'false_alarm_rate': (alarm & ~faulty, ~faulty),
    }
    statistics = {f'{prefix}/{k}': ratio_of_sums(*r, episode, count) for k, r in ratios.items()}
    area = area_under_roc(values['score'], faulty, episode, count)
    return statistics | {f'{prefix}/auroc': area}


def _correction(values: PerSample, count: int, split: str) -> dict[str, Statistic]:
    faulty = {k: v[values['faulty']] for k, v in values.items()}
    if not len(faulty['score']):
        return {}
    episode, suffix = faulty['episode'], '' if split == 'seen' else f'_{split}'
    injected, left, clean = (faulty[k] for k in ('energy_injected', 'energy_left', 'error_clean'))
    before, after = (faulty[k] for k in ('error_uncorrected', 'error_corrected'))
    ratios = energy_ratios(injected, left)
    return {
        # The share of the excess error that is removed equals `recovery`.
        f'recovery/{split}': ratio_of_sums(
            before.double() - after.double(), before.double() - clean.double(), episode, count
        ),
        f'corrector/energy_left{suffix}': mean_of_medians(ratios, faulty['kind'], episode),
        f'corrector/energy_left_pooled{suffix}': ratio_of_sums(left, injected, episode, count),
        f'corrector/share_worse{suffix}': ratio_of_sums(
            left > injected, torch.ones_like(left), episode, count
        ),
    }
