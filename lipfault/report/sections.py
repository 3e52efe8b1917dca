"""Sections of a report in order, each with a figure and a caption."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial

from matplotlib.figure import Figure

from lipfault.report.certificate import certificate_statements, draw_certificate
from lipfault.report.correction import draw_correction
from lipfault.report.curves import draw_losses
from lipfault.report.damage import LEAST_FAULTS, draw_damage
from lipfault.report.detection import draw_detection
from lipfault.report.images import draw_images
from lipfault.report.localization import draw_localization
from lipfault.report.norms import draw_norms
from lipfault.report.recall import draw_recall
from lipfault.report.recovery import LEAST_RECOVERY, draw_recovery
from lipfault.report.reliability import draw_reliability
from lipfault.report.results import NothingToShow, Results
from lipfault.report.run import Run
from lipfault.report.series import draw_series
from lipfault.report.skill import draw_skill
from lipfault.runs.names import file_name


@dataclass(frozen=True)
class Section:
    """One figure of the page.

    Args:
        slug: Name of the PNG file and of the anchor on the page.
        title: Heading.
        caption: Content of the figure, and how a good result looks.
        draw: Draws the figure of a run, or raises `NothingToShow`.
    """

    slug: str
    title: str
    caption: str
    draw: Callable[[Run], Figure]


def sections(run: Run) -> list[Section]:
    """List the sections of a run by its stage, samples first.

    Args:
        run: A run.

    Returns:
        The sections in the order of the page; a run without certificate has no such section.
    """
    statements = certificate_statements(run)
    found = list(_sample_sections(run))
    for section in _STAGE_1 if run.stage == 1 else _STAGE_2:
        if section.draw is not draw_certificate:
            found.append(section)
        elif statements:
            found.append(replace(section, caption=f'{section.caption} {statements}'))
    return found


def draw_samples(results: Results, name: str) -> Figure:
    """Draw the example samples of one modality.

    Args:
        results: Arrays of a test, or of `SampleMonitor` during training.
        name: The modality.

    Returns:
        A figure of images or of series.

    Raises:
        NothingToShow: If there are no examples.
    """
    examples = results.examples(name)
    kinds = results.kinds if (examples.kind >= 0).any() else []
    return draw_images(examples, kinds) if examples.is_image else draw_series(examples, kinds)


def _sample_sections(run: Run) -> Iterator[Section]:
    """Yield a section for the samples of each modality."""
    try:
        names = run.results.modalities
    except NothingToShow:
        names = []
    captions = _FAULT_FREE if run.stage == 1 else _FAULTY
    for name in names:
        clean = run.results.arrays.get(f'examples/{name}/clean')
        # (sample, channel, height, width) for an image
        caption = captions['image' if clean is not None and clean.ndim == 4 else 'series']
        draw = partial(_draw_samples_of_run, name=name)
        yield Section(f'samples-{file_name(name)}', f'Samples: {name}', caption, draw)


def _draw_samples_of_run(run: Run, name: str) -> Figure:
    """Draw the example samples of one modality of a run."""
    return draw_samples(run.results, name)


_FAULTY = {
    'image': (
        'Rows: faulty test samples. Good: the corrected image and its reconstruction resemble the '
        'clean image, not the faulty one. The corrected image keeps the observed pixels outside '
        'the predicted fault. The predicted fault map covers the true one and nothing else.'
    ),
    'series': (
        'Rows: faulty test samples, in the channels that the fault changes most. The faulty '
        'interval is shaded. Good: the corrected signal (blue) follows the clean signal (grey) '
        'where the faulty signal (red) departs from it. Right: true and predicted fault map of '
        'the same window, one row per channel.'
    ),
}
_FAULT_FREE = {
    'image': 'Clean test images, their reconstruction and its absolute error. Good: an error '
    'without structure, moving parts included.',
    'series': 'Clean test windows in the channels that vary most. Good: the reconstruction (blue) '
    'covers the clean signal (grey).',
}

_LOSSES = Section(
    'losses',
    'Training',
    'Quantities logged during training, over optimizer steps. Good: the validation loss follows '
    'the training loss and levels off. A rising validation loss means overfitting.',
    draw_losses,
)
_SKILL = Section(
    'skill',
    'Reconstruction',
    'Share of the variance that the reconstruction misses, on clean test recordings. Good: the '
    'autoencoder is left of PCA with the same latent size for every modality.',
    draw_skill,
)
_STAGE_1 = (_LOSSES, _SKILL)
_STAGE_2 = (
    Section(
        'detection',
        'Detection',
        'Left: recall against false-alarm rate. The rate has a logarithmic axis, since only small '
        'rates are acceptable in operation. The dot is the threshold, set on clean validation '
        'recordings, with 95 % intervals over test episodes. Right: histograms of the anomaly '
        'score. Good: a curve in the upper left corner, separated histograms, and similar results '
        'for seen and unseen fault kinds.',
        draw_detection,
    ),
    Section(
        'reliability',
        'Calibration',
        'Left: share of faulty samples against the probability that the score predicts (its '
        'sigmoid). The error is the mean distance from the diagonal. Right: false alarms of each '
        'test episode. Good: a curve on the diagonal, and no episode far above the others.',
        draw_reliability,
    ),
    Section(
        'recall',
        'Recall by kind',
        'Share of detected faults in percent, with the number of faults. Good: blue. A fault kind '
        'with low recall is an orange row. Mild faults are missed if their damage is below the '
        'sensor noise (next figure).',
        draw_recall,
    ),
    Section(
        'damage',
        'Recall by damage',
        'Recall against damage, the RMS change by the fault in units of the sensor noise. Faults '
        'below the noise (shaded) are not detectable and do little harm. Good: a steep rise just '
        'right of the line. Bands: 95 % intervals. Bins with fewer than '
        f'{LEAST_FAULTS} faults are omitted.',
        draw_damage,
    ),
    Section(
        'localization',
        'Localization',
        'Rows: true faulty modality. Columns: predicted faulty modality at an alarm. Good: a blue '
        'diagonal, no orange. The last column counts misses, the last row false alarms.',
        draw_localization,
    ),
    Section(
        'correction',
        'Correction',
        'Energy left: squared error after the correction over that before. Median over the faults '
        'of a kind, and by severity; last column: share of the faults that the correction makes '
        'worse. In the title: mean over kinds of the first column, with its 95 % interval over '
        'test episodes. Good: blue. Above 1 (bold) the correction does harm.',
        draw_correction,
    ),
    Section(
        'recovery',
        'Recovery',
        'Left: recovery of each fault kind. The bar is the recovery with the true fault mask, so '
        'the gap is the cost of predicting the fault map. Recoveries below '
        f'{LEAST_RECOVERY:g} are drawn there. Right: median energy left. The bar is the energy '
        'left pooled over the faults, which the largest ones dominate. Good: markers at 1 on the '
        'left, far left on the right.',
        draw_recovery,
    ),
    Section(
        'norms',
        'Norms and gains',
        'Left: products of spectral norms (upper bounds of the sensitivity), with the values of '
        'the paper (arXiv 2603.25103) as dashed lines. Products depend on the scale of adjacent '
        'layers; the gains beside them do not. Good: along faults (solid) the corrector contracts '
        'and the detector expands; between clean samples (dotted) the gain of the corrector is '
        'near 1 and that of the detector is small. Dots are measured by the test on the whole '
        'path. Lines come from validations or, if there was only one, from a probe batch during '
        'training, each module by itself.',
        draw_norms,
    ),
    Section(
        'certificate',
        'Certificate',
        'Change of a corrected modality per unit of fault on a modality. Measured: largest gain of '
        'the injected faults. Adversarial: largest gain found by gradient ascent inside the '
        'physical range of the sensor. Certified: upper bound over all faults in that range. Good: '
        'all below 1 and close together. certificate.json lists all layers (ledger). In physical '
        'units:',
        draw_certificate,
    ),
    _LOSSES,
    _SKILL,
)
