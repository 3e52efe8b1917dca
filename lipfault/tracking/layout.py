"""The dashboard of lipfault: does the corrector contract while the detector stays sensitive?"""

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

SIM, CON = (Quantity('config', f'model.init_args.losses.{key}') for key in ('sim', 'con'))
F1, LEFT, CORRECTOR, DETECTOR = (
    Quantity('metric', f'val/{key}')
    for key in (
        'detection/f1', 'corrector/energy_left', 'corrector/fault_gain', 'detector/fault_gain',
    )
)  # fmt: skip

_CONTRAST = Section(
    'Corrector and detector',
    'Does the corrector contract while the detector stays sensitive? The norms are raw products, '
    'with those of the paper (0.03 and 2.0) as lines; any rescaling of a layer changes them. So '
    'read the gains beside them: along faults the corrector should be far below its clean gain, '
    'which should stay near 1, and the detector far above its own.',
    'finetune',
    (
        Lines(
            'Norms (products), and those of the paper',
            (*REFERENCES, *(name for name, _ in REFERENCES.values())),
            logarithmic=True,
        ),
        Lines(
            'Corrector: gain along faults and between clean samples',
            ('gain/corrector/fault', 'gain/corrector/clean'),
            logarithmic=True,
        ),
        Lines(
            'Detector: gain along faults and between clean samples',
            ('gain/detector/fault', 'gain/detector/clean'),
            logarithmic=True,
        ),
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
    'Which layer attenuates, which one amplifies? A layer held by a cap or a floor runs along it.',
    'finetune',
    (
        Lines('Layers of the corrector', pattern='norm/corrector/.+', logarithmic=True),
        Lines('Layers of the detector', pattern='norm/detector/.+', logarithmic=True),
    ),
)
_DETECTION = Section(
    'Detection',
    'Are faults found, and named rightly, at few false alarms? Mild faults are below the noise: '
    'recall should rise steeply with the damage.',
    'finetune',
    (
        Lines('F1 and AUROC', (F1.key, 'val/detection/auroc')),
        Lines('False alarms', ('val/detection/false_alarm_rate',)),
        Lines('Right modality', ('val/detection/localization_accuracy',)),
        Lines('Recall by damage', pattern='val/detection/recall_damage_.+'),
        Lines('Recall by kind of fault', pattern='val/detection/recall_kind_.+'),
    ),
)
_CORRECTION = Section(
    'Correction',
    'How much of the damage is undone, and does clean input stay clean? Recovery should reach that '
    'of the block that is told where the fault is; energy left should be below 0.03.',
    'finetune',
    (
        Lines('Recovery, and told the mask', ('val/recovery/seen', 'val/recovery/oracle')),
        Lines('Energy left', (LEFT.key,), logarithmic=True),
        Lines('Clean input made worse', ('val/clean/degradation',)),
    ),
)
_TRADE_OFF = Section(
    'λ trade-off over runs',
    'What does weighing similarity (λ_sim) against contrast (λ_con) buy? Each dot is a run; show '
    'only those of one sweep.',
    'finetune',
    (
        Scatter('Energy left and F1, by λ_con', LEFT, F1, CON),
        Scatter('Gains along faults, by λ_con', CORRECTOR, DETECTOR, CON, logarithmic=True),
        Scatter('Energy left by λ_sim', SIM, LEFT),
        Scatter('F1 by λ_con', CON, F1),
        Parallel('λ and what came of them', (SIM, CON, CORRECTOR, DETECTOR, LEFT, F1)),
    ),
)
_SAMPLES = Section(
    'Samples',
    'What do the numbers look like? The same validation windows over the training.',
    'finetune',
    (Pictures('Samples', PICTURES), Table('Share of the fault left, by sample', TABLE)),
)
_TRAINING = Section(
    'Training of stage 2',
    'Do the terms of the loss fall, and which module is clipped?',
    'finetune',
    (
        Lines('Loss', ('train/loss', 'val/loss')),
        Lines('Terms', pattern='train/loss_.+', logarithmic=True),
        Lines('Gradient norms before clipping', pattern='grad_norm/.+', logarithmic=True),
    ),
)
_TEST = Section(
    'Test',
    'The figures of metrics.json. Choose nothing by them.',
    'test',
    (
        Bars('F1, kinds seen and unseen', ('detection/f1', 'detection_unseen/f1')),
        Bars('AUROC, kinds seen and unseen', ('detection/auroc', 'detection_unseen/auroc')),
        Bars('Recovery, kinds seen and unseen', ('recovery/seen', 'recovery/unseen')),
        Bars('Energy left', ('corrector/energy_left', 'corrector/energy_left_unseen')),
        Bars('Gains along faults', ('corrector/fault_gain', 'detector/fault_gain')),
        Bars('Gains between clean samples', ('corrector/clean_gain', 'detector/clean_gain')),
        Bars('Norms (products)', ('norm/corrector', 'norm/detector')),
    ),
)
_STAGE_1 = Section(
    'Stage 1',
    'Does the autoencoder explain every modality? 1 is everything, 0 no more than the mean.',
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
"""What `lipfault dashboard` builds."""
