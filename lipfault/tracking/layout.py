"""The dashboard of lipfault: contraction of the corrector, sensitivity of the detector."""

from lipfault.tracking.names import PICTURES, REFERENCES, TABLE
from lipfault.tracking.panels import (
    Bars,
    Dashboard,
    Lines,
    Parallel,
    Pictures,
    Quantity,
    Scatter,
    Section,
    Table,
)

# Weights of the similarity and of the contrastive term, λ_sim and λ_con.
SIM, CON = (Quantity('config', f'model.init_args.losses.{key}') for key in ('sim', 'con'))
F1, LEFT, CORRECTOR, DETECTOR = (
    Quantity('metric', f'val/{key}')
    for key in (
        'detection/f1', 'corrector/energy_left', 'corrector/fault_gain', 'detector/fault_gain',
    )
)  # fmt: skip

# Norms span decades over training, so most axes are logarithmic.
_GAINS = tuple(
    Lines(
        f'{module.capitalize()}: gain along faults and between clean samples',
        (f'gain/{module}/fault', f'gain/{module}/clean'),
        logarithmic=True,
    )
    for module in ('corrector', 'detector')
)

_CONTRAST = Section(
    'Corrector and detector',
    'Does the corrector contract while the detector stays sensitive? Norms are raw products, with '
    'those of the paper (0.03 and 2.0) as lines; a rescaling of layer weights changes them. The '
    'gains are comparable between models: the corrector should have a small gain along faults and '
    'a clean gain near 1, the detector a larger gain along faults than between clean samples.',
    'finetune',
    (
        Lines(
            'Norms (products), and those of the paper',
            (*REFERENCES, *(name for name, _ in REFERENCES.values())),
            logarithmic=True,
        ),
        *_GAINS,
        Bars('Corrector on validation faults', (CORRECTOR.key, 'val/corrector/clean_gain')),
        Bars('Detector on validation faults', (DETECTOR.key, 'val/detector/clean_gain')),
        Lines(
            'Selectivity',
            ('gain/corrector/selectivity', 'gain/detector/selectivity'),
            logarithmic=True,
        ),
        Lines(
            'Jacobians, largest singular value',
            ('jacobian/corrector/max', 'jacobian/detector/max'),
            logarithmic=True,
        ),
    ),
    is_open=True,
)
_LAYERS = Section(
    'Norms of the layers',
    'Which layer attenuates, which one amplifies? A layer with a cap or a floor follows its '
    'target.',
    'finetune',
    (
        Lines('Layers of the corrector', pattern='norm/corrector/.+', logarithmic=True),
        Lines('Layers of the detector', pattern='norm/detector/.+', logarithmic=True),
    ),
)
_DETECTION = Section(
    'Detection',
    'Are faults detected and localized at a low false-alarm rate? Faults with a damage below 1 are '
    'within the sensor noise; the recall should rise steeply above.',
    'finetune',
    (
        Lines('F1 and AUROC', (F1.key, 'val/detection/auroc')),
        Lines('False-alarm rate', ('val/detection/false_alarm_rate',)),
        Lines('Localization accuracy', ('val/detection/localization_accuracy',)),
        Lines('Recall by damage', pattern='val/detection/recall_damage_.+'),
        Lines('Recall by fault kind', pattern='val/detection/recall_kind_.+'),
    ),
)
_CORRECTION = Section(
    'Correction',
    'How much of the error by faults is corrected, and does clean input stay unchanged? The '
    'recovery should approach that with the true fault mask. Energy left is the mean over fault '
    'kinds of the median; above 1 the correction makes a fault worse.',
    'finetune',
    (
        Lines('Recovery, predicted and true mask', ('val/recovery/seen', 'val/recovery/oracle')),
        Lines('Energy left', (LEFT.key, 'val/corrector/energy_left_pooled'), logarithmic=True),
        Lines('Energy left by fault kind', pattern='val/corrector/energy_left_kind_.+'),
        Lines('Share of faults made worse', ('val/corrector/share_worse',)),
        Lines('Error rise on clean input', ('val/clean/degradation',)),
    ),
)
_TRADE_OFF = Section(
    'λ trade-off over runs',
    'How do the weights of similarity (λ_sim) and contrast (λ_con) trade correction for detection? '
    'Each dot is a run; filter the runs of one sweep.',
    'finetune',
    (
        Scatter('Energy left and F1, by λ_con', LEFT, F1, CON),
        Scatter('Gains along faults, by λ_con', CORRECTOR, DETECTOR, CON, logarithmic=True),
        Scatter('Energy left by λ_sim', SIM, LEFT),
        Scatter('F1 by λ_con', CON, F1),
        Parallel('λ, gains, energy left and F1', (SIM, CON, CORRECTOR, DETECTOR, LEFT, F1)),
    ),
)
_SAMPLES = Section(
    'Samples',
    'How do the corrected signals look? The same validation windows over the training.',
    'finetune',
    (Pictures('Samples', PICTURES), Table('Energy left, by sample', TABLE)),
)
_TRAINING = Section(
    'Training of stage 2',
    'Do the terms of the loss fall, and which gradient norms exceed their clipping limit?',
    'finetune',
    (
        Lines('Loss', ('train/loss', 'val/loss')),
        Lines('Terms', pattern='train/loss_.+', logarithmic=True),
        Lines('Gradient norms before clipping', pattern='grad_norm/.+', logarithmic=True),
    ),
)
_TEST = Section(
    'Test',
    'The metrics of metrics.json. Select no model by them.',
    'test',
    (
        Bars('F1, seen and unseen kinds', ('detection/f1', 'detection_unseen/f1')),
        Bars('AUROC, seen and unseen kinds', ('detection/auroc', 'detection_unseen/auroc')),
        Bars('Recovery, seen and unseen kinds', ('recovery/seen', 'recovery/unseen')),
        Bars('Error rise on clean input', ('clean/degradation',)),
        Bars('Energy left', ('corrector/energy_left', 'corrector/energy_left_unseen')),
        Bars(
            'Share of faults made worse', ('corrector/share_worse', 'corrector/share_worse_unseen')
        ),
        Bars('Gains along faults', ('corrector/fault_gain', 'detector/fault_gain')),
        Bars('Gains between clean samples', ('corrector/clean_gain', 'detector/clean_gain')),
        Bars('Norms (products)', ('norm/corrector', 'norm/detector')),
    ),
)
_STAGE_1 = Section(
    'Stage 1',
    'Does the autoencoder reconstruct every modality? Skill 1: without error, 0: as the mean.',
    'pretrain',
    (
        Lines('Loss', ('train/loss', 'val/loss'), logarithmic=True),
        Lines('Skill', pattern='val/skill/.+'),
        Lines('Relations', ('train/loss_relations', 'val/loss_relations'), logarithmic=True),
        Pictures('Samples', PICTURES),
    ),
)

DASHBOARD = Dashboard(
    'lipfault: corrector and detector',
    (
        _CONTRAST, _LAYERS, _DETECTION, _CORRECTION, _TRADE_OFF, _SAMPLES, _TRAINING, _TEST,
        _STAGE_1,
    ),
)  # fmt: skip
"""The dashboard that `lipfault dashboard` builds."""
