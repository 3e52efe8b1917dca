"""Key metrics of a run: tiles with their formulas, and a summary in sentences."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from lipfault.report.run import Run


@dataclass(frozen=True)
class Tile:
    """One key metric of the page.

    Args:
        group: Heading above the tile.
        label: Name of the metric.
        key: Key in `metrics.json`.
        formula: Definition, and which values are good.
        percent: Whether the value is shown in percent.
        value: The value.
        interval: 95 % interval over test episodes, None without.
    """

    group: str
    label: str
    key: str
    formula: str
    percent: bool = False
    value: float = float('nan')
    interval: tuple[float, float] | None = None

    @property
    def text(self) -> str:
        """Return the value as the page shows it.

        Example:
            >>> Tile('', '', '', '', percent=True, value=0.0123).text
            '1.2 %'
            >>> Tile('', '', '', '', value=0.99987654).text
            '0.999877'
        """
        return self._text_of(self.value)

    @property
    def range(self) -> str:
        """Return the interval as the page shows it, empty without.

        Example:
            >>> Tile('', '', '', '', percent=True, value=0.02, interval=(0.01, 0.034)).range
            '1.0 % to 3.4 %'
        """
        return ' to '.join(map(self._text_of, self.interval)) if self.interval else ''

    def _text_of(self, value: float) -> str:
        if value != value:  # NaN
            return 'n/a'
        if self.percent:
            return percent(value, digits=1)
        # Four digits would round values just below 1 to 1.
        return f'{value:.6g}' if 0.9995 < value < 1 else f'{value:.4g}'


_F1 = 'F1 = 2 TP / (2 TP + FP + FN) at the threshold set on clean validation recordings; best: 1'
_AUROC = 'probability that a faulty sample scores above a clean one; best: 1'
_RECOVERY = (
    '1 - (E_corrected - E_clean) / (E_uncorrected - E_clean), E the reconstruction error of the '
    'faulty modality against its clean signal; best: 1'
)
_ENERGY = (
    'mean over fault kinds of the median of ‖x̂ - x‖² / ‖x̃ - x‖² on the faulty modality: x̂ '
    'corrected, x clean, x̃ faulty; invariant to a rescaling of layer weights; 1: nothing gained, '
    'best: 0'
)
_GAIN = 'mean ‖T(z̃) - T(z)‖ / ‖z̃ - z‖ over injected faults'
_CLEAN_GAIN = 'mean ‖T(z) - T(y)‖ / ‖z - y‖ over pairs z, y of clean samples'

TILES = (
    Tile('Detection', 'F1', 'detection/f1', _F1),
    Tile('Detection', 'AUROC', 'detection/auroc', _AUROC),
    Tile('Detection', 'false-alarm rate', 'detection/false_alarm_rate',
         'share of clean test samples above the threshold; best: 0', percent=True),
    Tile('Detection', 'false alarms per hour', 'detection/false_alarms_per_hour',
         'alarm events on clean test recordings per hour; best: 0'),
    Tile('Detection', 'calibration error', 'detection/calibration_error',
         'mean distance of the predicted from the observed share of faulty samples; best: 0'),
    Tile('Detection', 'localization accuracy', 'detection/localization_accuracy',
         'share of the detected faults with the correct faulty modality; best: 100 %',
         percent=True),
    Tile('Detection', 'F1, unseen kinds', 'detection_unseen/f1',
         f'on fault kinds held out of training: {_F1}'),
    Tile('Detection', 'AUROC, unseen kinds', 'detection_unseen/auroc',
         f'on fault kinds held out of training: {_AUROC}'),
    Tile('Correction', 'energy left', 'corrector/energy_left', _ENERGY),
    Tile('Correction', 'energy left, unseen kinds', 'corrector/energy_left_unseen',
         f'on fault kinds held out of training: {_ENERGY}'),
    Tile('Correction', 'faults made worse', 'corrector/share_worse',
         'share of faulty test samples whose squared error grows by the correction; best: 0',
         percent=True),
    Tile('Correction', 'recovery', 'recovery/seen', _RECOVERY),
    Tile('Correction', 'recovery, unseen kinds', 'recovery/unseen',
         f'on fault kinds held out of training: {_RECOVERY}'),
    Tile('Correction', 'recovery, true mask', 'recovery/oracle',
         f'the same model conditioned on the true fault mask: {_RECOVERY}'),
    Tile('Correction', 'energy left, pooled', 'corrector/energy_left_pooled',
         'Σ‖x̂ - x‖² / Σ‖x̃ - x‖² over all faulty test samples, dominated by the largest faults; '
         'best: 0'),
    Tile('Correction', 'error rise on clean input', 'clean/degradation',
         'relative rise of the reconstruction error if clean input is corrected, too: '
         'E(x̂) / E(x) - 1; best: 0', percent=True),
    Tile('Correction', 'change of clean input', 'clean/change',
         'mean (x̂ - x)² over clean test samples, standardized units; best: 0'),
    Tile('Sensitivity', 'corrector, fault gain', 'corrector/fault_gain', f'{_GAIN}; best: 0'),
    Tile('Sensitivity', 'corrector, clean gain', 'corrector/clean_gain',
         f'{_CLEAN_GAIN}; best: 1'),
    Tile('Sensitivity', 'corrector, selectivity', 'corrector/selectivity',
         'clean gain / fault gain; high is good'),
    Tile('Sensitivity', 'detector, fault gain', 'detector/fault_gain',
         f'{_GAIN}, input scaled to unit RMS on clean data; target: above 2'),
    Tile('Sensitivity', 'detector, clean gain', 'detector/clean_gain',
         f'{_CLEAN_GAIN}, input scaled to unit RMS on clean data; low is good'),
    Tile('Sensitivity', 'detector, selectivity', 'detector/selectivity',
         'fault gain / clean gain; high is good'),
)  # fmt: skip
"""Tiles in the order of the page.

F1 and AUROC as in Powers (2011), https://arxiv.org/abs/2010.16061, and Hanley & McNeil (1982),
https://doi.org/10.1148/radiology.143.1.7063747; gains as in docs/theory.md, section 6.
"""


def percent(share: float, digits: int = 0) -> str:
    """Format a share in percent.

    Args:
        share: The share, 1 for all.
        digits: Digits after the decimal point.

    Returns:
        Text such as `1.2 %`.
    """
    return f'{100 * share:.{digits}f} %'


def tiles(run: Run) -> dict[str, list[Tile]]:
    """Return the tiles whose metric the run has, by group.

    Args:
        run: A run.

    Returns:
        Tiles with values, by heading.
    """
    groups: dict[str, list[Tile]] = {}
    for tile in (*TILES, *_maps(run), *_skills(run)):
        if tile.key in run.metrics:
            filled = replace(tile, value=run.metrics[tile.key], interval=run.interval(tile.key))
            groups.setdefault(tile.group, []).append(filled)
    return groups


_MAPS = {
    'auroc': (
        'AUROC',
        'chance that a faulty entry has a larger map value than a clean one; best: 1',
    ),
    'aupro': (
        'AUPRO',
        'share of a faulty region above the threshold, mean over regions and over false positive '
        'rates up to 0.3; best: 1',
    ),
    'iou': ('IoU', 'intersection over union of true and predicted map at the 0.5 level; best: 1'),
}


def _maps(run: Run) -> Iterator[Tile]:
    """Yield the metrics of the fault maps of each modality, over local faults."""
    for key in run.metrics:
        prefix, _, rest = key.partition('/')
        name, _, metric = rest.rpartition('/')
        if prefix == 'localization' and metric in _MAPS:
            label, formula = _MAPS[metric]
            yield Tile('Fault maps', f'{label}, {name}', key, f'local faults: {formula}')


def _skills(run: Run) -> Iterator[Tile]:
    """Yield the skill of each modality, and of PCA beside it."""
    formula = '1 - MSE / variance of the clean signal; 0: as the mean signal, best: 1'
    for key in run.metrics:
        prefix, _, name = key.partition('/')
        if prefix == 'skill':
            yield Tile('Reconstruction', f'skill, {name}', key, formula)
            yield Tile('Reconstruction', f'PCA skill, {name}', f'skill_pca/{name}',
                       f'PCA with the same latent size: {formula}')  # fmt: skip


def summary(run: Run) -> str:
    """Summarize detection and correction in sentences.

    The error on clean input follows the recovery: a corrector that changes clean signals is no
    gain in operation, where most windows are clean.

    Args:
        run: A run.

    Returns:
        One sentence for each group of metrics of the run, empty without such metrics.
    """
    m = run.metrics
    sentences = []
    if 'detection/f1' in m and 'detection/false_alarm_rate' in m:
        rate = percent(m['detection/false_alarm_rate'], 1)
        sentences.append(f'F1 is {m["detection/f1"]:.3f} at a false-alarm rate of {rate}.')
    if 'detection/localization_accuracy' in m:
        share = percent(m['detection/localization_accuracy'], 1)
        sentences.append(
            f'The predicted faulty modality is correct for {share} of detected faults.'
        )
    if 'corrector/energy_left' in m:
        sentences.append(_energy_left(run))
    if 'recovery/seen' in m:
        sentences.append(_correction(m))
    return ' '.join(sentences)


def _energy_left(run: Run) -> str:
    """Return the sentence on the energy left and on the share made worse."""
    m, interval = run.metrics, run.interval('corrector/energy_left')
    left = percent(m['corrector/energy_left'])
    text = f'The correction leaves {left} of the error energy of a typical fault'
    if interval:
        text += f' ({" to ".join(map(percent, interval))})'
    if 'corrector/share_worse' in m:
        text += f' and makes {percent(m["corrector/share_worse"])} of the faults worse'
    return f'{text}.'


def _correction(m: dict[str, float]) -> str:
    """Return the sentence on recovery and on the cost for clean input."""
    unseen = f' ({percent(m["recovery/unseen"])} on unseen kinds)' if 'recovery/unseen' in m else ''
    text = f'The correction removes {percent(m["recovery/seen"])}{unseen} of the error by faults'
    rise = m.get('clean/degradation', float('nan'))
    if rise == rise:  # not NaN
        verb = 'raises' if rise >= 0 else 'lowers'
        text += f' and {verb} the error on clean input by {percent(abs(rise), 1)}'
    return f'{text}.'
