"""The parts of stage 1 that stage 2 loads from a checkpoint."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from torch import nn

from lipfault.errors import LipfaultError
from lipfault.models.autoencoder.autoencoder import Autoencoder
from lipfault.models.autoencoder.sizes import CoderConfig
from lipfault.models.blocks.interface.base import ComputeBlock
from lipfault.models.relations.relations import Relations, RelationsConfig
from lipfault.runs.checkpoints import CARD, read_checkpoint
from lipfault.runs.folder import find_checkpoint
from lipfault.tasks.base import check_card, log_changed_ranges
from lipfault.tasks.card import Description, sizes_from
from lipfault.tasks.divergence import first_not_finite

ORIGIN = ('coder', 'relations', 'train_split', 'train_episodes')
"""Entries of the card of stage 1 that stage 2 keeps."""

EARLIER = '; if the run is of an earlier version of lipfault, train it again'
"""End of the message about weights that do not fit."""


def load_pretrained(
    path: str | None,
    description: Description,
    build: Callable[[Autoencoder, Callable[[], Relations]], ComputeBlock],
) -> tuple[Autoencoder, ComputeBlock, dict[str, Any], str]:
    """Load autoencoder and relations of stage 1, and build a new compute block on top.

    Args:
        path: Checkpoint or run folder; a checkpoint of stage 2 holds the parts, too.
        description: Description of the data.
        build: Builds the block from the autoencoder, and from the relations if it needs them.

    Returns:
        The autoencoder, the block, the entries of the card that describe stage 1, and a log message
        of the parts that were loaded.

    Raises:
        LipfaultError: If there is no such checkpoint, or it was trained on other modalities.
    """
    if path is None:
        raise LipfaultError(
            'stage 2 needs an autoencoder: give --model.pretrained a stage-1 checkpoint or run '
            'folder'
        )
    file = find_checkpoint(path)
    checkpoint = read_checkpoint(file)
    card = checkpoint[CARD]
    wanted = {'stage': card.get('stage'), 'description': description.to_dict()}
    check_card(card, wanted, str(file))
    _require_origin(card, file)
    log_changed_ranges(card, description.to_dict(), str(file))
    autoencoder = autoencoder_from(checkpoint)
    loaded: dict[str, nn.Module] = {'autoencoder': autoencoder}

    def relations() -> Relations:
        loaded['relations'] = found = relations_from(checkpoint, autoencoder)
        return found

    block = build(autoencoder, relations)
    counts = ', '.join(f'{n} ({len(m.state_dict())} tensors)' for n, m in loaded.items())
    rest = sorted({k.split('.')[0] for k in checkpoint['state_dict']} - set(loaded))
    message = (
        f'loaded {counts} from {file}; not loaded: {rest or "nothing"}; '
        'the rest of the compute block starts afresh'
    )
    return autoencoder, block, {k: card[k] for k in ORIGIN if k in card}, message


def _require_origin(card: dict[str, Any], file: Path) -> None:
    """Refuse a card without the split and the episodes of stage 1."""
    episodes = card.get('train_episodes', [])
    listed = isinstance(episodes, list) and all(isinstance(name, str) for name in episodes)
    if not isinstance(card.get('train_split'), str) or not listed:
        raise LipfaultError(
            f'{file}: the card of the checkpoint is damaged: train_split must be a name and '
            f'train_episodes a list of names, got {card.get("train_split")!r} and {episodes!r}'
        )


def autoencoder_from(checkpoint: dict[str, Any]) -> Autoencoder:
    """Rebuild the autoencoder of a checkpoint of either stage, with its weights.

    Args:
        checkpoint: Output of `read_checkpoint`.

    Returns:
        The autoencoder, on the CPU.
    """
    card = checkpoint[CARD]
    description = Description.from_dict(card['description'])
    coder = sizes_from(CoderConfig, card, 'coder')
    autoencoder = Autoencoder(description.modalities, description.steps, coder)
    _load(autoencoder, checkpoint, 'autoencoder.')
    return autoencoder


def relations_from(checkpoint: dict[str, Any], autoencoder: Autoencoder) -> Relations:
    """Rebuild the relations of a checkpoint of either stage, with their weights.

    Args:
        checkpoint: Output of `read_checkpoint`.
        autoencoder: The autoencoder of the same checkpoint.

    Returns:
        The relations, on the CPU.

    Raises:
        LipfaultError: If the checkpoint has none.
    """
    card = checkpoint[CARD]
    if 'relations' not in card:
        raise LipfaultError(
            'the checkpoint holds no relations between sensors: it is of an earlier version of '
            'lipfault; train stage 1 again'
        )
    sizes = sizes_from(RelationsConfig, card, 'relations')
    modalities = Description.from_dict(card['description']).modalities
    relations = Relations(autoencoder, modalities, sizes)
    prefix = 'relations.' if card['stage'] == 'pretrain' else 'block.relations.'
    _load(relations, checkpoint, prefix)
    return relations


def _load(module: nn.Module, checkpoint: dict[str, Any], prefix: str) -> None:
    """Load the weights whose name starts with a prefix.

    Raises:
        LipfaultError: If names or shapes differ, as in a checkpoint of an earlier version; or if
            a weight is not finite.
    """
    weights = {
        key.removeprefix(prefix): value
        for key, value in checkpoint['state_dict'].items()
        if key.startswith(prefix)
    }
    broken = first_not_finite(weights)
    if broken is not None:
        raise LipfaultError(
            f'the checkpoint does not hold finite numbers in {prefix}{broken}: it is damaged, or '
            'of a training that has diverged'
        )
    try:
        module.load_state_dict(weights)
    except RuntimeError as error:
        first = str(error).splitlines()[1].strip() if '\n' in str(error) else str(error)
        raise LipfaultError(
            f'the checkpoint does not fit this version of lipfault ({first}){EARLIER}'
        ) from error
