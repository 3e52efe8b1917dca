"""From one number per sample to one number per run."""

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise

from lightning.pytorch.utilities import rank_zero_info
from torch import Tensor, nn

from lipfault.lipschitz.gains.pairwise import Gain, selectivity, summarize
from lipfault.lipschitz.norms.layer_norms import linear_layers, norm_product
from lipfault.lipschitz.norms.norms import exact_norm
from lipfault.metrics.detection import clean_threshold, detection_summary
from lipfault.metrics.recovery import energy_left, recovery, relative_change, skill

PerSample = dict[str, Tensor]

DAMAGE_EDGES = (0.0, 1.0, 2.0, 4.0, 8.0, 16.0, 64.0, float('inf'))
"""Edges of the bins in which recall is reported, in units of the sensor noise."""


def calibrate(values: PerSample, false_alarm_rate: float) -> float:
    """Threshold from the scores of the clean signals of all windows."""
    return clean_threshold(values['score_clean'], false_alarm_rate)


def summarize_detection(
    values: PerSample, threshold: float, kinds: Sequence[str]
) -> dict[str, float]:
    """Detection at a threshold, see `lipfault.metrics.detection`; also by damage and by kind.

    `f1_above_noise` and `auroc_above_noise` leave out the faults that change the signal by less
    than its sensor noise, which nothing can find. `recall_kind_<name>` is there for the kinds that
    occur.

    Args:
        values: Per sample, from `lipfault.tasks.evaluation`.
        threshold: A score above it is an alarm.
        kinds: Names of the kinds of faults, in the order that labels count them.
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


def _detection(values: PerSample, threshold: float) -> dict[str, float]:
    return detection_summary(
        values['score'],
        values['faulty'],
        values['modality'],
        values['predicted_modality'],
        threshold,
    )


def summarize_faults(values: PerSample, split: str = 'seen') -> dict[str, float]:
    """Recovery, energy left and gains along the faults of a split.

    Args:
        values: Per sample, from `lipfault.tasks.evaluation`.
        split: `seen` or `unseen`, part of the key of what is reported for both.
    """
    faulty = {k: v[values['faulty']] for k, v in values.items()}
    if not len(faulty['score']):
        return {}
    clean, before = faulty['error_clean'], faulty['error_uncorrected']
    metrics = {f'recovery/{split}': recovery(clean, before, faulty['error_corrected'])}
    left = energy_left(faulty['energy_injected'], faulty['energy_left'])
    if split != 'seen':
        ceiling = recovery(clean, before, faulty['error_oracle'])
        return metrics | {'recovery/oracle_unseen': ceiling, f'corrector/energy_left_{split}': left}
    metrics |= {
        'recovery/oracle': recovery(clean, before, faulty['error_oracle']),
        'corrector/energy_left': left,
    }
    return metrics | _gains(values)


def summarize_clean(values: PerSample) -> dict[str, float]:
    """What the block does to clean input.

    `clean/degradation` is the relative rise of the autoencoder's reconstruction error when it is
    fed with the cleaned instead of the clean signal; `clean/change` the mean squared change itself.
    """
    return {
        'clean/degradation': relative_change(values['harm_before'], values['harm_after']),
        'clean/change': float(values['clean_change'].mean()),
    }


def summarize_skill(values: PerSample, names: tuple[str, ...]) -> dict[str, float]:
    """`skill/<modality>` of the stage-1 autoencoder on the clean windows."""
    return {
        f'skill/{n}': skill(values[f'skill_error/{n}'], values[f'skill_spread/{n}']) for n in names
    }


def summarize_norms(
    modules: dict[str, nn.Module], sizes: Mapping[nn.Module, tuple[int, ...]]
) -> dict[str, float]:
    """Exact `norm/<module>/<layer>` of all layers, and their raw product `norm/<module>`.

    A raw figure as in arXiv 2603.25103: any rescaling inside the network changes it, so read it
    beside the gains. Nothing for a module without layers.

    Args:
        modules: Modules by name.
        sizes: Spatial input sizes of convolutions; one that is not among them, since it was never
            called, is left out.
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
    clean, fault = gains['detector']  # here the fault is what shall be seen
    metrics['detector/selectivity'] = selectivity(fault, clean)
    return metrics


def validation_loss(metrics: dict[str, float]) -> float:
    """What `best.ckpt` is chosen by; unknown, which is said, if no window has a fault."""
    if 'corrector/energy_left' not in metrics:
        rank_zero_info(
            'no window of the validation has a fault: val/loss is unknown, and best.ckpt stays '
            'the first; lower data.faults.clean_share'
        )
        return math.nan
    return 1 - metrics['detection/f1'] + metrics['corrector/energy_left']
