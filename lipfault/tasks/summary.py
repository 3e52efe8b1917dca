"""From one value per sample to one value per run: the metrics of stage 2."""

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise

from lightning.pytorch.utilities import rank_zero_info
from torch import Tensor, nn

from lipfault.lipschitz.gains.pairwise import Gain, selectivity, summarize
from lipfault.lipschitz.norms.layer_norms import linear_layers, norm_product
from lipfault.lipschitz.norms.norms import exact_norm
from lipfault.metrics.calibration import Calibration, episode_threshold
from lipfault.metrics.detection import detection_summary
from lipfault.metrics.events import false_alarms_per_hour, streams_of
from lipfault.metrics.localization import MapCounts, merged
from lipfault.metrics.recovery import (
    energy_left,
    energy_left_by_kind,
    energy_left_pooled,
    recovery,
    relative_change,
    share_worse,
    skill,
)
from lipfault.tasks.distributed import PerSample, gather_lists
from lipfault.tasks.episode_intervals import rate_intervals, summarize_intervals

DAMAGE_EDGES = (0.0, 1.0, 2.0, 4.0, 8.0, 16.0, 64.0, float('inf'))
"""Edges of the bins in which recall is reported, in units of the sensor noise."""


MOST_ENERGY_LEFT = 2.0
"""Largest median of a kind in the validation loss: a kind of faint faults, whose energy left can be
any multiple of 1, must not outweigh all others and the F1."""


def calibrate(values: PerSample, false_alarm_rate: float) -> Calibration:
    """Compute the threshold from the scores of the clean signals of all windows.

    Args:
        values: Per sample, from `lipfault.tasks.evaluation`, with `episode`.
        false_alarm_rate: Share of clean windows above the threshold, in (0, 1).

    Returns:
        The threshold, and what the calibration episodes support.
    """
    return episode_threshold(values['score_clean'], values['episode'], false_alarm_rate)


def summarize_validation(
    values: PerSample, threshold: float, kinds: Sequence[str]
) -> tuple[dict[str, float], float]:
    """Compute the metrics of a validation.

    Args:
        values: Per sample, from `lipfault.tasks.evaluation`.
        threshold: A higher score is an alarm.
        kinds: Names of the fault kinds, by the index of the labels.

    Returns:
        Metrics by key, and the loss by which `best.ckpt` is selected.
    """
    found = summarize_detection(values, threshold, kinds)
    metrics = {f'detection/{k}': v for k, v in found.items()} | summarize_clean(values)
    metrics |= summarize_faults(values, kinds)
    return metrics, validation_loss(metrics, values)


def summarize_test(
    collected: Mapping[str, PerSample],
    threshold: float,
    kinds: Sequence[str],
    names: Sequence[str],
    modules: Mapping[str, nn.Module],
    sizes: Mapping[nn.Module, tuple[int, ...]],
    false_alarm_rate: float = 0.01,
) -> dict[str, float]:
    """Compute the metrics of a test.

    Args:
        collected: Per sample, from `lipfault.tasks.evaluation`, by split of fault kinds.
        threshold: A higher score is an alarm.
        kinds: Names of the fault kinds, by the index of the labels.
        names: Names of the modalities.
        modules: Modules whose norms are measured, by name.
        sizes: Spatial input sizes of convolutions.
        false_alarm_rate: Rate at which blocks are compared, see `summarize_at_rate`.

    Returns:
        Metrics by key.
    """
    metrics: dict[str, float] = {'detection/threshold': threshold}
    at_rate = threshold_at_rate(collected['seen']['score_clean'], false_alarm_rate)
    for split, values in collected.items():
        prefix = 'detection' if split == 'seen' else 'detection_unseen'
        found = summarize_detection(values, threshold, kinds)
        found |= summarize_at_rate(values, at_rate)
        metrics |= {f'{prefix}/{k}': v for k, v in found.items()}
        metrics |= summarize_faults(values, kinds, split)
        metrics |= summarize_intervals(values, threshold, split)
        metrics |= rate_intervals(values, at_rate, split)
    metrics |= summarize_clean(collected['seen'])
    metrics |= summarize_events(collected['seen'], threshold)
    metrics |= summarize_skill(collected['seen'], names)
    return metrics | summarize_norms(modules, sizes)


def summarize_detection(
    values: PerSample, threshold: float, kinds: Sequence[str]
) -> dict[str, float]:
    """Compute detection metrics at a threshold, also by damage and by kind.

    `f1_above_noise` and `auroc_above_noise` leave out the faults whose damage is below the sensor
    noise, which no detector can find. `recall_kind_<name>` exists for the kinds that occur.

    Args:
        values: Per sample, from `lipfault.tasks.evaluation`.
        threshold: A higher score is an alarm.
        kinds: Names of the fault kinds, by the index of the labels.

    Returns:
        Metrics by key, see `lipfault.metrics.detection`.
    """
    summary = _detection(values, threshold)
    above = ~values['faulty'] | (values['damage'] >= 1)
    visible = _detection({k: v[above] for k, v in values.items()}, threshold)
    summary |= {f'{key}_above_noise': visible[key] for key in ('f1', 'auroc')}
    detected = values['score'] > threshold
    for low, high in pairwise(DAMAGE_EDGES):
        inside = values['faulty'] & (values['damage'] >= low) & (values['damage'] < high)
        recall = float(detected[inside].float().mean())
        summary[f'recall_damage_{low:g}_{high:g}'] = recall
    for kind in sorted(set(values['kind'][values['faulty']].tolist())):
        inside = values['faulty'] & (values['kind'] == kind)
        summary[f'recall_kind_{kinds[kind]}'] = float(detected[inside].float().mean())
    return summary


def threshold_at_rate(clean: Tensor, false_alarm_rate: float) -> float:
    """Return the threshold at which clean test windows raise alarms at a given rate.

    It compares blocks at one false alarm rate, whatever their calibration. No system can be run at
    it, since it is taken from the test itself.

    Args:
        clean: (sample,) scores of the clean signals of all test windows.
        false_alarm_rate: In (0, 1).

    Returns:
        The smallest score above which lie at most this share of the scores.
    """
    return float(clean.double().quantile(1 - false_alarm_rate, interpolation='higher'))


def summarize_at_rate(values: PerSample, threshold: float) -> dict[str, float]:
    """Compute F1 and recall at the threshold of a given false alarm rate.

    Args:
        values: Per sample, from `lipfault.tasks.evaluation`.
        threshold: From `threshold_at_rate`.

    Returns:
        `f1_at_rate`, `recall_at_rate`, and `f1_above_noise_at_rate` without the faults whose damage
        is below the sensor noise.
    """
    whole = _detection(values, threshold)
    above = ~values['faulty'] | (values['damage'] >= 1)
    visible = _detection({k: v[above] for k, v in values.items()}, threshold)
    return {
        'f1_at_rate': whole['f1'],
        'recall_at_rate': whole['recall'],
        'f1_above_noise_at_rate': visible['f1'],
    }


def _detection(values: PerSample, threshold: float) -> dict[str, float]:
    return detection_summary(
        values['score'],
        values['faulty'],
        values['modality'],
        values['predicted_modality'],
        threshold,
    )


def summarize_faults(
    values: PerSample, kinds: Sequence[str], split: str = 'seen'
) -> dict[str, float]:
    """Compute recovery, energy left and gains along the faults of a split.

    Args:
        values: Per sample, from `lipfault.tasks.evaluation`.
        kinds: Names of the fault kinds, by the index of the labels.
        split: `seen` or `unseen`, part of the key of the metrics that exist for both.

    Returns:
        Metrics by key; empty for a split without faults.
    """
    faulty = {k: v[values['faulty']] for k, v in values.items()}
    if not len(faulty['score']):
        return {}
    clean, before = faulty['error_clean'], faulty['error_uncorrected']
    suffix = '' if split == 'seen' else f'_{split}'
    metrics = {
        f'recovery/{split}': recovery(clean, before, faulty['error_corrected']),
        f'recovery/oracle{suffix}': recovery(clean, before, faulty['error_oracle']),
    }
    metrics |= _energy(faulty, kinds, suffix)
    return metrics | (_gains(values) if split == 'seen' else {})


def _energy(faulty: PerSample, kinds: Sequence[str], suffix: str) -> dict[str, float]:
    """Energy left of faulty samples: mean of medians, by kind, pooled, and share made worse."""
    injected, left, kind = faulty['energy_injected'], faulty['energy_left'], faulty['kind']
    metrics = {
        f'corrector/energy_left{suffix}': energy_left(injected, left, kind),
        f'corrector/energy_left_pooled{suffix}': energy_left_pooled(injected, left),
        f'corrector/share_worse{suffix}': share_worse(injected, left),
    }
    for k, median in energy_left_by_kind(injected, left, kind).items():
        own = kind == k
        metrics[f'corrector/energy_left_kind_{kinds[k]}'] = median
        metrics[f'corrector/share_worse_kind_{kinds[k]}'] = share_worse(injected[own], left[own])
    return metrics


def summarize_clean(values: PerSample) -> dict[str, float]:
    """Compute the effect of the correction on clean signals.

    Args:
        values: Per sample, from `lipfault.tasks.evaluation`.

    Returns:
        `clean/degradation`, the relative rise of the autoencoder's reconstruction error when its
        input is corrected, and `clean/change`, the mean squared change of the clean signal in
        standardized units.
    """
    return {
        'clean/degradation': relative_change(values['harm_before'], values['harm_after']),
        'clean/change': float(values['clean_change'].mean()),
    }


def summarize_events(values: PerSample, threshold: float) -> dict[str, float]:
    """Compute the rate of alarm events on the clean windows, in order of time.

    Args:
        values: Per sample, from `lipfault.tasks.evaluation`, with `episode` and `end_s`.
        threshold: A higher score is an alarm.

    Returns:
        `detection/false_alarms_per_hour`: alarms less than `lipfault.metrics.events.GAP_S` apart
        are one event.
    """
    streams = streams_of(values['score_clean'], values['end_s'], values['episode'])
    # No fault, so that the length of a window decides nothing.
    rate = false_alarms_per_hour(streams, threshold, window_s=0.0)
    return {'detection/false_alarms_per_hour': rate}


def summarize_maps(
    maps: Mapping[str, MapCounts], kinds: Sequence[str], split: str
) -> dict[str, float]:
    """Compute how well fault maps locate local faults inside a modality.

    Args:
        maps: Counts of this process by modality.
        kinds: Names of the fault kinds, by the index of the labels.
        split: `seen` or `unseen`.

    Returns:
        `localization/<modality>/<key>` of `MapCounts.summary`, for unseen kinds
        `localization_unseen/<modality>/<key>`; none for a block without maps.
    """
    prefix = 'localization' if split == 'seen' else f'localization_{split}'
    metrics: dict[str, float] = {}
    for name, counts in maps.items():
        found = merged(gather_lists([counts])).summary(kinds)
        metrics |= {f'{prefix}/{name}/{key}': value for key, value in found.items()}
    return metrics


def summarize_skill(values: PerSample, names: Sequence[str]) -> dict[str, float]:
    """Compute the skill of the autoencoder of stage 1 on the clean windows.

    Args:
        values: Per sample, from `lipfault.tasks.evaluation`.
        names: Names of the modalities.

    Returns:
        `skill/<modality>`, 1 - MSE / variance.
    """
    return {
        f'skill/{n}': skill(values[f'skill_error/{n}'], values[f'skill_spread/{n}']) for n in names
    }


def summarize_norms(
    modules: Mapping[str, nn.Module], sizes: Mapping[nn.Module, tuple[int, ...]]
) -> dict[str, float]:
    """Compute the exact spectral norms of all layers, and their product.

    A rescaling of layer weights changes the product without changing the network: read it beside
    the gains (docs/theory.md, section 6).

    Args:
        modules: Modules by name.
        sizes: Spatial input sizes of convolutions; one without, since it was never called, is left
            out.

    Returns:
        `norm/<module>/<layer>` and `norm/<module>`; nothing for a module without layers.

    Reference:
        Altinses and Schwung, https://arxiv.org/abs/2603.25103.
    """
    metrics: dict[str, float] = {}
    for name, module in modules.items():
        norms = {
            k: exact_norm(layer, sizes.get(layer)).value
            for k, layer in linear_layers(module)
            if isinstance(layer, nn.Linear) or layer in sizes
        }
        metrics |= {f'norm/{name}/{layer}': norm for layer, norm in norms.items()}
        if norms:
            metrics[f'norm/{name}'] = norm_product(module, norms)
    return metrics


def _gains(values: PerSample) -> dict[str, float]:
    """Gains and selectivity of corrector and detector."""
    metrics: dict[str, float] = {}
    gains: dict[str, tuple[Gain, Gain]] = {}
    for module in ('corrector', 'detector'):
        fault = summarize(values[f'{module}_fault_gain'][values['faulty']])
        clean = summarize(values[f'{module}_clean_gain'])
        metrics[f'{module}/fault_gain'] = fault.mean
        metrics[f'{module}/fault_gain_median'] = fault.median
        metrics[f'{module}/fault_gain_p95'] = fault.p95
        metrics[f'{module}/clean_gain'] = clean.mean
        gains[module] = (clean, fault)
    clean, fault = gains['corrector']
    metrics['corrector/selectivity'] = selectivity(clean, fault)
    clean, fault = gains['detector']  # the reciprocal: a detector is to amplify faults
    metrics['detector/selectivity'] = selectivity(fault, clean)
    return metrics


def validation_loss(metrics: Mapping[str, float], values: PerSample) -> float:
    """Compute the loss by which `best.ckpt` is selected.

    Args:
        metrics: Metrics of a validation.
        values: Per sample, from `lipfault.tasks.evaluation`.

    Returns:
        1 - F1 + energy left, in which the median of a kind counts at most `MOST_ENERGY_LEFT`; NaN,
        with a log line, if no window of the validation has a fault.
    """
    faulty = values['faulty']
    if not faulty.any():
        rank_zero_info(
            'no window of the validation has a fault: val/loss is unknown, and best.ckpt stays '
            'the first; lower data.faults.clean_share'
        )
        return math.nan
    injected, left, kind = (
        values[key][faulty] for key in ('energy_injected', 'energy_left', 'kind')
    )
    return 1 - metrics['detection/f1'] + energy_left(injected, left, kind, MOST_ENERGY_LEFT)
