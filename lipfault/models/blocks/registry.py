"""Compute blocks by name."""

import inspect
from collections.abc import Callable, Mapping
from importlib import import_module

from lipfault.errors import LipfaultError
from lipfault.modality import Modality
from lipfault.models.autoencoder.autoencoder import Autoencoder
from lipfault.models.blocks.interface.base import ComputeBlock
from lipfault.models.blocks.interface.config import BlockConfig
from lipfault.models.relations.relations import Relations

_BASELINES = 'lipfault.models.blocks.baselines.'

BLOCKS = {
    'posterior': 'lipfault.models.blocks.posterior.block.PosteriorBlock',
    'fault_map': 'lipfault.models.blocks.fault_map.block.FaultMapBlock',
    'paper': 'lipfault.models.blocks.paper.PaperBlock',
    'uncorrected': _BASELINES + 'uncorrected.UncorrectedBlock',
    'denoising': _BASELINES + 'denoising.DenoisingBlock',
    'vae': _BASELINES + 'vae.VaeBlock',
    'adversarial': _BASELINES + 'adversarial.AdversarialBlock',
    'residual_attention': _BASELINES + 'residual_attention.ResidualAttentionBlock',
    'detect_reject_correct': _BASELINES + 'detect_reject_correct.DetectRejectCorrectBlock',
    'unimodal': _BASELINES + 'unimodal.UnimodalBlock',
    'modality_dropout': _BASELINES + 'modality_dropout.ModalityDropoutBlock',
    'kalman': _BASELINES + 'kalman.KalmanBlock',
    'pca': _BASELINES + 'pca.PcaBlock',
    'statistics_mahalanobis': _BASELINES + 'statistics_blocks.MahalanobisBlock',
    'statistics_logistic': _BASELINES + 'statistics_blocks.LogisticBlock',
    'statistics_boosting': _BASELINES + 'statistics_blocks.BoostingBlock',
}
"""Class path by `block.kind`; imported when it is configured, since some need extras."""


def build_block(
    config: BlockConfig,
    autoencoder: Autoencoder,
    relations: Callable[[], Relations],
    modalities: Mapping[str, Modality],
) -> ComputeBlock:
    """Build the compute block of a configuration, before training.

    Args:
        config: Kind and sizes.
        autoencoder: Stage 1.
        relations: Returns the relations of stage 1; called only for a block whose constructor has
            an argument `relations`.
        modalities: Description of each modality.

    Returns:
        A new block.

    Raises:
        LipfaultError: If there is no block of that kind.
    """
    block = block_class(config.kind)
    given = {'autoencoder': autoencoder, 'modalities': modalities, 'config': config}
    if 'relations' in inspect.signature(block).parameters:
        return block(**given, relations=relations())
    return block(**given)


def block_class(kind: str) -> Callable[..., ComputeBlock]:
    """Return the class of a kind of block.

    Args:
        kind: A key of `BLOCKS`, or a class path.

    Returns:
        The class.

    Raises:
        LipfaultError: If there is none, or it is not a `ComputeBlock`.
    """
    module, _, name = BLOCKS.get(kind, kind).rpartition('.')
    known = f'take one of {", ".join(BLOCKS)}, or the class path of a block of your own'
    if not module:
        raise LipfaultError(f'block.kind: there is no {kind!r}; {known}')
    try:
        found: object = getattr(import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise LipfaultError(f'block.kind: cannot import {kind!r} ({error}); {known}') from error
    if not (isinstance(found, type) and issubclass(found, ComputeBlock)):
        raise LipfaultError(f'block.kind: {kind!r} is not a ComputeBlock; {known}')
    return found
