"""Finding and reading checkpoints."""

import pickle
from pathlib import Path
from typing import Any

import torch

from lipfault.errors import LipfaultError
from lipfault.models.autoencoder import Autoencoder, CoderConfig
from lipfault.models.relations import Relations, RelationsConfig
from lipfault.tasks.base import CARD, Description


def find_checkpoint(path: str | Path, prefer: str = 'best') -> Path:
    """The checkpoint file meant by a path.

    Args:
        path: A checkpoint file, or a run folder.
        prefer: Which one of a run folder, `best` or `last`.

    Raises:
        LipfaultError: If there is none.
    """
    path = Path(path)
    if path.is_file():
        return path
    if not path.exists():
        raise LipfaultError(f'no checkpoint at {path}: there is no such file or run folder')
    folder = path / 'checkpoints'
    for name in dict.fromkeys((prefer, 'best', 'last')):
        if (folder / f'{name}.ckpt').is_file():
            return folder / f'{name}.ckpt'
    raise LipfaultError(
        f'run folder {path} has no checkpoint: looked for best.ckpt and last.ckpt in {folder}'
    )


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Read a checkpoint of plain types and tensors onto the CPU.

    Raises:
        LipfaultError: If the file is torn, or holds anything but plain types.
    """
    try:
        checkpoint: dict[str, Any] = torch.load(path, map_location='cpu', weights_only=True)
    except (RuntimeError, EOFError, OSError, pickle.UnpicklingError, KeyError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise LipfaultError(f'{path} is not a readable checkpoint: {reason}') from error
    if not isinstance(checkpoint, dict) or CARD not in checkpoint:
        raise LipfaultError(f'{path} was not written by lipfault: it has no {CARD!r} entry')
    return checkpoint


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
