"""A trained stage 2, ready to be asked."""

from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from lipfault.errors import LipfaultError
from lipfault.models.blocks.base import BlockConfig
from lipfault.runs.checkpoints import CARD, CONFIG_NAME, find_checkpoint, read_checkpoint
from lipfault.tasks.finetune_config import FinetuneConfig

if TYPE_CHECKING:
    from lipfault.tasks.finetune import FinetuneTask


def trained_task(run: str) -> 'FinetuneTask':
    """The task of a run of stage 2 with its weights and threshold, in evaluation mode.

    Args:
        run: Run folder, or a checkpoint in one.

    Raises:
        LipfaultError: If there is no checkpoint, it is not one of stage 2, or the run's
            configuration is not beside it, or its block has settings that this version of lipfault
            does not know.
    """
    from lipfault.tasks.finetune import FinetuneTask  # the chain of imports at once stays short

    file = find_checkpoint(run)
    checkpoint = read_checkpoint(file)
    card = checkpoint[CARD]
    if card['stage'] != FinetuneTask.stage:
        raise LipfaultError(f'{file}: a checkpoint of stage {card["stage"]!r}, not of stage 2')
    settings = file.parents[1] / CONFIG_NAME
    if not settings.exists():
        raise LipfaultError(f'{file}: the configuration of its run is missing, {settings}')
    arguments = yaml.safe_load(settings.read_text())['model']['init_args']
    modulation = (arguments.get('config') or {}).get('modulation') or {}
    task = FinetuneTask(
        card['description'],
        pretrained=str(file),
        block=_block_config(card['block'], file),
        config=FinetuneConfig(modulation=modulation),
    )
    task.load_state_dict(checkpoint['state_dict'])
    return task.requires_grad_(False).eval()


def _block_config(saved: dict[str, Any], file: Path) -> BlockConfig:
    unknown = sorted(saved.keys() - {f.name for f in fields(BlockConfig)})
    if unknown:
        raise LipfaultError(
            f'{file}: this version of lipfault does not know the block settings {unknown}; '
            'train the run anew'
        )
    return BlockConfig(**saved)
