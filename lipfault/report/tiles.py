"""The headline numbers of a run, each with its formula."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from lipfault.report.run import Run


@dataclass(frozen=True)
class Tile:
    """One number of the page's head.

    Args:
        group: Heading that it stands under.
        label: What it is called.
        key: Its key in `metrics.json`.
        formula: What it is, and which way is good.
        percent: Whether it is shown in percent.
        value: The number.
    """

    group: str
    label: str
    key: str
    formula: str
    percent: bool = False
    value: float = float('nan')

    @property
    def text(self) -> str:
        """The number as the page shows it.

        Example:
            >>> Tile('', '', '', '', percent=True, value=0.0123).text
            '1.2 %'
            >>> Tile('', '', '', '', value=0.99987654).text
            '0.999877'
        """
        if self.value != self.value:
            return 'n/a'
        if self.percent:
            return percent(self.value, digits=1)
        return f'{self.value:.6g}' if 0.9995 < self.value < 1 else f'{self.value:.4g}'


_F1 = 'F1 = 2 TP / (2 TP + FP + FN) at the threshold set on clean validation recordings; best: 1'
_AUROC = 'probability that a faulty sample scores above a clean one; best: 1'
_RECOVERY = (
    '1 - (E_corrected - E_clean) / (E_uncorrected - E_clean), E the reconstruction error of the '
    'faulty modality against its clean signal; best: 1'
)
_GAIN = 'mean ‖T(z̃) - T(z)‖ / ‖z̃ - z‖ over injected faults'
_CLEAN_GAIN = 'mean ‖T(z) - T(y)‖ / ‖z - y‖ over pairs z, y of clean samples'

TILES = (
    Tile('Detection', 'F1', 'detection/f1', _F1),
    Tile('Detection', 'AUROC', 'detection/auroc', _AUROC),
    Tile('Detection', 'false alarms', 'detection/false_alarm_rate',
         'share of clean test samples above the threshold; low is good', percent=True),
    Tile('Detection', 'right modality', 'detection/localization_accuracy',
         'share of the detected faults whose modality is named rightly; best: 100 %', percent=True),
    Tile('Detection', 'F1, unseen kinds', 'detection_unseen/f1',
         f'on fault kinds kept out of training: {_F1}'),
    Tile('Detection', 'AUROC, unseen kinds', 'detection_unseen/auroc',
         f'on fault kinds kept out of training: {_AUROC}'),
    Tile('Correction', 'recovery', 'recovery/seen', _RECOVERY),
    Tile('Correction', 'recovery, unseen kinds', 'recovery/unseen',
         f'on fault kinds kept out of training: {_RECOVERY}'),
    Tile('Correction', 'recovery, told the mask', 'recovery/oracle',
         f'the same model told the exact fault mask: {_RECOVERY}'),
    Tile('Correction', 'energy left', 'corrector/energy_left',
         'Σ‖x̂ - x‖² / Σ‖x̃ - x‖² of the faulty modality: x̂ cleaned, x true, x̃ faulty; '
         'no rescaling can change it; best: 0'),
    Tile('Correction', 'energy left, unseen kinds', 'corrector/energy_left_unseen',
         'the same on fault kinds kept out of training; best: 0'),
    Tile('Correction', 'clean input made worse', 'clean/degradation',
         'relative rise of the reconstruction error when the autoencoder is fed with the cleaned '
         'instead of the clean signal; best: 0', percent=True),
    Tile('Sensitivity', 'corrector, fault gain', 'corrector/fault_gain', f'{_GAIN}; wanted: 0'),
    Tile('Sensitivity', 'corrector, clean gain', 'corrector/clean_gain',
         f'{_CLEAN_GAIN}; wanted: about 1'),
    Tile('Sensitivity', 'corrector, selectivity', 'corrector/selectivity',
         'clean gain / fault gain; high is good'),
    Tile('Sensitivity', 'detector, fault gain', 'detector/fault_gain',
         f'{_GAIN}, input scaled to unit RMS on clean data; wanted: above 2'),
    Tile('Sensitivity', 'detector, clean gain', 'detector/clean_gain',
         f'{_CLEAN_GAIN}, input scaled to unit RMS on clean data; wanted: small'),
    Tile('Sensitivity', 'detector, selectivity', 'detector/selectivity',
         'fault gain / clean gain; high is good'),
)  # fmt: skip
"""The head of the page in order."""


def percent(share: float, digits: int = 0) -> str:
    """A share in percent.

    Args:
        share: 1 is all.
        digits: Digits after the point.
    """
    return f'{100 * share:.{digits}f} %'


def tiles(run: Run) -> dict[str, list[Tile]]:
    """The tiles that a run has a number for, by group.

    Args:
        run: A run.
    """
    groups: dict[str, list[Tile]] = {}
    for tile in (*TILES, *_skills(run)):
        if tile.key in run.metrics:
            shown = replace(tile, value=run.metrics[tile.key])
            groups.setdefault(tile.group, []).append(shown)
    return groups


def _skills(run: Run) -> Iterator[Tile]:
    """Skill of each modality, and of PCA beside it."""
    formula = '1 - MSE / variance of the clean signal; 0: no better than its mean, best: 1'
    for key in run.metrics:
        prefix, _, name = key.partition('/')
        if prefix == 'skill':
            yield Tile('Reconstruction', f'skill, {name}', key, formula)
            yield Tile('Reconstruction', f'PCA skill, {name}', f'skill_pca/{name}',
                       f'of PCA with the same latent size: {formula}')  # fmt: skip


def summary(run: Run) -> str:
    """The run's main figures in one sentence, as far as it has them.

    Args:
        run: A run.
    """
    m = run.metrics
    parts = []
    if 'detection/f1' in m and 'detection/false_alarm_rate' in m:
        parts.append(
            f'finds faults with F1 {m["detection/f1"]:.3f} '
            f'at {percent(m["detection/false_alarm_rate"], 1)} false alarms'
        )
    if 'detection/localization_accuracy' in m:
        parts.append(
            'names the right sensor for '
            f'{percent(m["detection/localization_accuracy"], 1)} of those found'
        )
    if 'recovery/seen' in m:
        parts.append(f'undoes {percent(m["recovery/seen"])} of the damage')
    if parts and 'recovery/unseen' in m:
        parts[-1] += f' ({percent(m["recovery/unseen"])} for kinds never seen in training)'
    return f'This model {_listed(parts)}.' if parts else ''


def _listed(parts: list[str]) -> str:
    """Phrases joined as in a sentence."""
    return f'{", ".join(parts[:-1])} and {parts[-1]}' if len(parts) > 1 else parts[0]
