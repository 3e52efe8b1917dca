"""What stage 2 takes from stage 1."""

from collections.abc import Callable
from typing import Any

from torch import nn

from lipfault.errors import LipfaultError
from lipfault.models.autoencoder.autoencoder import Autoencoder
from lipfault.models.blocks.base import ComputeBlock
from lipfault.models.relations.relations import Relations
from lipfault.runs.checkpoints import CARD, find_checkpoint, read_checkpoint
from lipfault.tasks.base import Description, check_card, tell_ranges
from lipfault.tasks.checkpoints import autoencoder_from, relations_from


def load_pretrained(
    path: str | None,
    description: Description,
    build: Callable[[Autoencoder, Callable[[], Relations]], ComputeBlock],
) -> tuple[Autoencoder, ComputeBlock, dict[str, Any], str]:
    """Autoencoder and relations of a stage-1 checkpoint, with a new compute block on top.

    Args:
        path: Checkpoint or run folder; a checkpoint of stage 2 holds the parts, too.
        description: What the data are like.
        build: Makes the block from the autoencoder, and from the relations if it asks for them.

    Returns:
        The autoencoder, the block, what the checkpoint's card says of stage 1, and in words what
        was loaded and what was not.

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
    wanted = {'stage': card['stage'], 'description': description.to_dict()}
    check_card(card, wanted, str(file))
    tell_ranges(card, description.to_dict(), str(file))
    autoencoder = autoencoder_from(checkpoint)
    loaded: dict[str, nn.Module] = {'autoencoder': autoencoder}

    def relations() -> Relations:
        loaded['relations'] = found = relations_from(checkpoint, autoencoder)
        return found

    block = build(autoencoder, relations)
    counts = ', '.join(f'{n} ({len(m.state_dict())} tensors)' for n, m in loaded.items())
    rest = sorted({k.split('.')[0] for k in checkpoint['state_dict']} - set(loaded))
    words = (
        f'loaded {counts} from {file}; not loaded: {rest or "nothing"}; '
        'the rest of the compute block starts afresh'
    )
    return autoencoder, block, {k: card[k] for k in ORIGIN if k in card}, words


ORIGIN = ('coder', 'relations', 'train_split', 'train_episodes')
"""Entries of the card of stage 1 that stage 2 keeps."""
