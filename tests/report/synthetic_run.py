"""Run folders as a training leaves them, with made-up but plausible content."""

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np

KINDS = ['bias', 'delay', 'dropout', 'frozen', 'gain', 'noise', 'occlusion', 'spikes', 'stuck']
UNSEEN = ['delay', 'occlusion']
TWO = {'camera': 'image', 'kinematics': 'series'}
FOUR = {'camera': 'image', 'arm_left': 'series', 'arm_right': 'series', 'wrench': 'series'}


def write_run(
    folder: Path, modalities: dict[str, str] = TWO, stage: int = 2, samples: int = 8
) -> Path:
    """A complete run folder of the stage, with so many samples of each modality to look at."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    results = {'modalities': np.array(list(modalities)), 'kinds': np.array(KINDS)}
    for name, form in modalities.items():
        examples = EXAMPLES[form](rng, samples)
        if stage == 1:
            versions = {'clean': 'clean', 'reconstruction': 'reconstruction_corrected'}
            examples = {key: examples[version] for key, version in versions.items()}
        results |= {f'examples/{name}/{key}': value for key, value in examples.items()}
        channels = examples['clean'].shape[1]
        results[f'channels/{name}'] = np.array([f'joint_{n}/position' for n in range(channels)])
        results[f'units/{name}'] = np.array(['rad'] * channels)
    metrics: dict[str, float] = {}
    for n, name in enumerate(modalities):
        metrics |= {f'skill/{name}': 0.9991 - 0.01 * n, f'skill_pca/{name}': 0.997 - 0.02 * n}
    if stage == 2:
        results['threshold'] = np.array(1.0)
        for split in ('seen', 'unseen'):
            found = split_arrays(rng, split, len(modalities))
            results |= {f'{split}/{key}': value for key, value in found.items()}
        count = len(results['seen/score'])
        results['seen/score_clean'] = np.exp(rng.normal(-1.2, 0.5, count))
        results['seen/episode'] = np.arange(count) * 7 // count
        metrics |= stage_2_metrics()
    np.savez(folder / 'results.npz', **results)
    (folder / 'metrics.json').write_text(json.dumps(metrics))
    (folder / 'lipfault_config.yaml').write_text('seed_everything: 0\nmodel:\n  latent: <64>\n')
    environment = {'lipfault': '0.1.0', 'torch': '2.13.0', 'seed': 0, 'command': 'lipfault fit'}
    (folder / 'environment.json').write_text(json.dumps(environment))
    write_history(folder / 'metrics.csv', stage)
    return folder


def stage_2_metrics() -> dict[str, float]:
    """Numbers of a good stage-2 run."""
    layers = {f'trunk.{n}': 1.0 + 0.3 * n for n in range(3)}
    return {
        'detection/f1': 0.984,
        'detection/auroc': 0.9951,
        'detection/false_alarm_rate': 0.0123,
        'detection/localization_accuracy': 0.993,
        'detection/threshold': 1.0,
        'detection_unseen/f1': 0.962,
        'detection_unseen/auroc': 0.983,
        'recovery/seen': 0.853,
        'recovery/unseen': 0.721,
        'recovery/oracle': 0.91,
        'clean/degradation': 0.012,
        'clean/change': 0.0004,
        'corrector/fault_gain': 0.11,
        'corrector/clean_gain': 0.97,
        'corrector/selectivity': 8.8,
        'corrector/energy_left': 0.41,
        'corrector/energy_left_low': 0.35,
        'corrector/energy_left_high': 0.52,
        'corrector/energy_left_pooled': 0.041,
        'corrector/share_worse': 0.12,
        'detection/recall_low': 0.8,
        'detection/recall_high': 0.95,
        'detection/false_alarm_rate_low': 0.002,
        'detection/false_alarm_rate_high': 0.03,
        'localization/camera/auroc': 0.94,
        'localization/camera/aupro': 0.81,
        'localization/camera/iou': 0.52,
        'detector/fault_gain': 2.31,
        'detector/clean_gain': 0.17,
        'norm/corrector': 0.03,
        'norm/detector': 2.4,
        **{f'norm/corrector/{name}': 0.4 * value for name, value in layers.items()},
        **{f'norm/detector/{name}': value for name, value in layers.items()},
    }


def write_history(path: Path, stage: int) -> None:
    """Sparse rows as Lightning's CSV logger writes them."""
    rng = np.random.default_rng(1)
    rows: list[dict[str, Any]] = []
    for step in range(9, 1200, 10):
        decay = float(np.exp(-step / 250))
        wobble = 1 + 0.1 * rng.standard_normal()
        rows.append({'epoch': step // 120, 'step': step, 'train/loss': (decay + 0.02) * wobble})
        if step % 120 == 119:
            row = {'epoch': step // 120, 'step': step, 'val/loss': decay + 0.03}
            row |= {'val/loss_rec': decay / 2 + 0.01, 'val/skill': 1 - decay}
            if stage == 2:
                row |= {'norm/corrector': 0.03 + decay, 'norm/detector': 2.4 - decay}
                row |= {'val/corrector/fault_gain': 0.1 + decay, 'val/corrector/clean_gain': 0.97}
                row |= {'val/detector/fault_gain': 2.3 - decay, 'val/detector/clean_gain': 0.2}
            rows.append(row)
    columns = list(dict.fromkeys(key for row in rows for key in row))
    with path.open('w', newline='') as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        writer.writerows(rows)


def split_arrays(
    rng: np.random.Generator, split: str, modalities: int, count: int = 1200
) -> dict[str, np.ndarray]:
    """Scores that grow with damage; what the fault does not change, the clean sample keeps."""
    faulty = rng.random(count) < 0.6
    kinds = [n for n, kind in enumerate(KINDS) if (kind in UNSEEN) == (split == 'unseen')]
    kind = np.where(faulty, rng.choice(kinds, count), -1)
    severity = np.where(faulty, rng.integers(1, 6, count), 0)
    modality = np.where(faulty, rng.integers(0, modalities, count), -1)
    damage = np.where(faulty, np.exp(rng.normal(severity - 1.0, 1.2)), 0.0)
    score = np.exp(rng.normal(-1.2, 0.5, count)) + 0.8 * damage * rng.random(count)
    predicted = np.where(rng.random(count) < 0.97, modality, rng.integers(0, modalities, count))
    injected = np.where(faulty, damage**2, np.nan)
    clean = np.where(faulty, 8e-4, np.nan)
    left = (0.1 if split == 'seen' else 0.25) * (0.5 + kind / 9)
    return {
        'faulty': faulty,
        'modality': modality,
        'kind': kind,
        'severity': severity,
        'damage': damage,
        'score': score,
        'predicted_modality': np.where(predicted < 0, 0, predicted),
        'energy_injected': injected,
        'energy_left': injected * left * rng.random(count),
        'error_clean': clean,
        'error_uncorrected': clean + 1e-4 * damage,
        'error_corrected': clean + 1e-4 * damage * left,
        'error_oracle': clean + 1e-4 * damage * left * 0.6,
    }


def image_examples(
    rng: np.random.Generator, count: int = 8, size: int = 64
) -> dict[str, np.ndarray]:
    """A two-link arm before a gradient; faults are dark squares and noise."""
    y, x = np.mgrid[0:size, 0:size] / size
    clean = np.empty((count, 3, size, size))
    true_map = np.zeros((count, 1, size, size))
    for n in range(count):
        first, second = rng.uniform(-0.5, 0.5, 2)
        elbow = np.array([0.5 + 0.35 * np.sin(first), 0.9 - 0.4 * np.cos(first)])
        tip = elbow + 0.35 * np.array([np.sin(first + second + 0.8), -np.cos(first + second + 0.8)])
        arm = np.zeros((size, size))
        for start, stop in ((np.array([0.5, 0.95]), elbow), (elbow, tip)):
            for t in np.linspace(0, 1, 40):
                at = start + t * (stop - start)
                arm = np.maximum(arm, np.exp(-((x - at[0]) ** 2 + (y - at[1]) ** 2) / 0.0025))
        for channel, (low, high) in enumerate(((0.85, 0.2), (0.88, 0.45), (0.92, 0.75))):
            clean[n, channel] = (low - 0.25 * y) * (1 - arm) + high * arm
        top, left = rng.integers(5, size - 30, 2)
        true_map[n, 0, top : top + 24, left : left + 24] = 1
    damaged = np.clip(0.15 + 0.5 * rng.random(clean.shape), 0, 1)
    faulty = np.where(true_map > 0, damaged, clean)
    blur = sum(np.roll(clean, (i, j), (2, 3)) for i in (-1, 0, 1) for j in (-1, 0, 1)) / 9
    found = np.clip(true_map * 0.9 + 0.1 * rng.random(true_map.shape), 0, 1)
    return {
        'clean': clean,
        'faulty': faulty,
        'reconstruction_faulty': 0.6 * faulty + 0.4 * blur,
        'reconstruction_corrected': blur,
        'corrected': np.where(true_map > 0, blur, clean),
        'true_map': true_map,
        'fault_map': found,
        'kind': rng.integers(0, len(KINDS), count),
        'severity': rng.integers(1, 6, count),
    }


def series_examples(rng: np.random.Generator, count: int) -> dict[str, np.ndarray]:
    """Smooth joint motions; a fault is an offset on a span of two channels."""
    channels, steps = 24, 100
    time = np.linspace(0, 1, steps)
    phase, rate = rng.uniform(0, 6, (2, count, channels, 1))
    clean = np.sin(phase + rate * time) + 0.005 * rng.standard_normal((count, channels, steps))
    true_map = np.zeros(clean.shape)
    for n in range(count):
        start = rng.integers(10, 60)
        true_map[n, rng.choice(channels, 2, replace=False), start : start + 35] = 1
    faulty = clean + true_map * (0.6 + 0.2 * rng.standard_normal(clean.shape))
    reconstruction = clean + 0.03 * rng.standard_normal((count, channels, 1)) * (1 + true_map)
    return {
        'clean': clean,
        'faulty': faulty,
        'reconstruction_faulty': clean + 0.6 * (faulty - clean),
        'reconstruction_corrected': reconstruction,
        'corrected': np.where(true_map > 0, reconstruction, clean),
        'true_map': true_map,
        'fault_map': np.clip(0.85 * true_map + 0.1 * rng.random(clean.shape), 0, 1),
        'kind': rng.integers(0, len(KINDS), count),
        'severity': rng.integers(1, 6, count),
    }


EXAMPLES = {'image': image_examples, 'series': series_examples}
