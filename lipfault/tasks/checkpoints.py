"""Finding, reading and writing checkpoints."""

from typing import Any

from lipfault.errors import LipfaultError
from lipfault.models.autoencoder.autoencoder import Autoencoder, CoderConfig
from lipfault.models.relations.relations import Relations, RelationsConfig
from lipfault.runs.checkpoints import CARD
from lipfault.tasks.base import Description


def autoencoder_from(checkpoint: dict[str, Any]) -> Autoencoder:
    """Rebuild the autoencoder that a checkpoint of either stage holds, with its weights."""
    card = checkpoint[CARD]
    description = Description.from_dict(card['description'])
    coder = CoderConfig(**(card['coder'] | {'image_widths': tuple(card['coder']['image_widths'])}))
    autoencoder = Autoencoder(description.modalities, description.steps, coder)
    autoencoder.load_state_dict(_part(checkpoint, 'autoencoder.'))
    return autoencoder


def relations_from(checkpoint: dict[str, Any], autoencoder: Autoencoder) -> Relations:
    """Rebuild the relations that a checkpoint of either stage holds, with their weights.

    Raises:
        LipfaultError: If it holds none.
    """
    card = checkpoint[CARD]
    if 'relations' not in card:
        raise LipfaultError(
            'the checkpoint holds no relations between sensors: it is of an earlier version of '
            'lipfault; train stage 1 again'
        )
    sizes = card['relations'] | {'patches': tuple(card['relations']['patches'])}
    modalities = Description.from_dict(card['description']).modalities
    relations = Relations(autoencoder, modalities, RelationsConfig(**sizes))
    prefix = 'relations.' if card['stage'] == 'pretrain' else 'block.relations.'
    relations.load_state_dict(_part(checkpoint, prefix))
    return relations


def _part(checkpoint: dict[str, Any], prefix: str) -> dict[str, Any]:
    """The weights whose name starts with a prefix, without it."""
    return {
        key.removeprefix(prefix): value
        for key, value in checkpoint['state_dict'].items()
        if key.startswith(prefix)
    }
