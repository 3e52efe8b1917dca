"""What a report shows, in order, and what to look for in it."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial

from matplotlib.figure import Figure

from lipfault.report.certificate import draw_certificate, plain_words
from lipfault.report.curves import draw_losses
from lipfault.report.damage import LEAST_FAULTS, draw_damage
from lipfault.report.detection import draw_detection
from lipfault.report.images import draw_images
from lipfault.report.localization import draw_localization
from lipfault.report.norms import draw_norms
from lipfault.report.recall import draw_recall
from lipfault.report.recovery import draw_recovery
from lipfault.report.results import NothingToShow, Results
from lipfault.report.run import Run
from lipfault.report.series import draw_series
from lipfault.report.skill import draw_skill


@dataclass(frozen=True)
class Section:
    """One figure of the page.

    Args:
        slug: Name of its file and of its anchor on the page.
        title: Heading.
        caption: What it shows and what to look for.
        draw: Makes the figure of a run, or raises `NothingToShow`.
    """

    slug: str
    title: str
    caption: str
    draw: Callable[[Run], Figure]


def sections(run: Run) -> list[Section]:
    """The figures of a run's stage, samples first.

    Args:
        run: A run.
    """
    words = plain_words(run)
    found = list(_samples(run))
    for section in _STAGE_1 if run.stage == 1 else _STAGE_2:
        if section.slug != 'certificate':
            found.append(section)
        elif words:
            found.append(replace(section, caption=f'{section.caption} {words}'))
    return found


def _samples(run: Run) -> Iterator[Section]:
    """A section for the samples of each modality."""
    try:
        names = run.results.modalities
    except NothingToShow:
        names = []
    captions = _FAULT_FREE if run.stage == 1 else _FAULTY
    for name in names:
        clean = run.results.arrays.get(f'examples/{name}/clean')
        caption = captions['image' if clean is not None and clean.ndim == 4 else 'series']
        yield Section(f'samples-{name}', f'Samples: {name}', caption, partial(_draw, name=name))


def draw_samples(results: Results, name: str) -> Figure:
    """The samples of one modality.

    Args:
        results: Arrays of a test, or of a look in the middle of training.
        name: The modality.

    Raises:
        NothingToShow: If there are none.
    """
    examples = results.examples(name)
    kinds = results.kinds if (examples.kind >= 0).any() else []
    return draw_images(examples, kinds) if examples.is_image else draw_series(examples, kinds)


def _draw(run: Run, name: str) -> Figure:
    return draw_samples(run.results, name)


_FAULTY = {
    'image': (
        'Rows: test samples with their fault. Good: the corrected reconstruction looks like the '
        'clean image, not like the faulty one; the cleaned signal keeps the measured pixels '
        'wherever no fault was found; the map of the fault found covers the true one and no more.'
    ),
    'series': (
        'Rows: test samples with their fault, in the channels that it changed most; the true span '
        'is shaded. Good: the corrected line (blue) stays on the clean one (grey) where the faulty '
        'line (red) leaves it. Right: the same window as a map, one line per channel, where the '
        'fault is and where it was found.'
    ),
}
_FAULT_FREE = {
    'image': 'Test images, their reconstruction, and where it is off. Good: an error without '
    'structure; the robot must not be blurred away.',
    'series': 'Test windows in the channels that move most. Good: the reconstruction (blue) '
    'covers the clean line (grey).',
}

_LOSSES = Section(
    'losses',
    'Training',
    'What was logged while training, over optimizer steps. Good: validation follows training '
    'down and levels off; where it turns up again, the model learns episodes by heart.',
    draw_losses,
)
_SKILL = Section(
    'skill',
    'Reconstruction',
    'The share of the variance that is lost, on clean test recordings. Good: the autoencoder is '
    'not to the right of PCA with the same latent size, on any modality.',
    draw_skill,
)
_STAGE_1 = (_LOSSES, _SKILL)
_STAGE_2 = (
    Section(
        'detection',
        'Detection',
        'Left: recall against false alarms, on a logarithmic axis since only few are bearable; the '
        'dot is the threshold, which was set on clean validation recordings. Right: the scores '
        'themselves. Good: a curve in the upper left corner, two hills far apart, and little '
        'difference between kinds of fault seen in training and kinds never seen.',
        draw_detection,
    ),
    Section(
        'recall',
        'Recall by kind',
        'Share of the faults found, in percent, with their number. Good: blue. Weak spots show as '
        'rows; that mild faults are missed is no surprise, see the next figure.',
        draw_recall,
    ),
    Section(
        'damage',
        'Recall by damage',
        "The same recall against what the fault did to the signal, in units of the sensor's own "
        'noise. A fault below the noise (shaded) cannot be found, nor does it do harm. Good: a '
        'steep rise just right of the line. Bands: 95 % intervals; bins with fewer than '
        f'{LEAST_FAULTS} faults are left out.',
        draw_damage,
    ),
    Section(
        'localization',
        'Localization',
        'Rows: the modality truly faulty; columns: the one blamed at an alarm. Good: a blue '
        'diagonal, no orange. The last column holds misses, the last row false alarms.',
        draw_localization,
    ),
    Section(
        'recovery',
        'Recovery',
        'Left: recovery of each kind of fault, the bar beside it is the same model told where the '
        'fault is: the gap is the price of not knowing. Right: energy of the error left after '
        'correction, of that which the fault brought; no rescaling inside the network can change '
        'it. Good: dots at 1 on the left, far left on the right.',
        draw_recovery,
    ),
    Section(
        'norms',
        'Norms and gains',
        'Left: the products of spectral norms (upper bounds of the sensitivity), with the figures '
        'of the paper. They depend on the scale of the layers around, so read them with the gains '
        'beside: along faults (full line) the corrector should contract and the detector expand, '
        'while clean differences (dotted) pass the corrector and leave the detector cold. Dots are '
        'measured by the test on the whole path; lines of gains by validations or, where there '
        'was one only, while training on a few windows, each module by itself.',
        draw_norms,
    ),
    Section(
        'certificate',
        'Certificate',
        'How far a fault on one modality can move another, per unit of fault: the largest of the '
        'injected faults, the largest that an adversary found inside the range of the sensor, and '
        'the bound that no fault can exceed. Good: all below 1, close together. The ledger of all '
        'layers is in certificate.json. In plain words:',
        draw_certificate,
    ),
    _LOSSES,
    _SKILL,
)
