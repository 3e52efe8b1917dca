"""Which runs belong together: a stage 1 and all that has grown from it."""

from pathlib import Path

import yaml


def group_of(run: Path, pretrained: str | None, config_name: str) -> str:
    """Name of the group of a run: that of its stage 1 if it has one.

    Args:
        run: The run's folder.
        pretrained: Checkpoint or run folder of stage 1, None for a run without.
        config_name: Name of the configuration in a run's folder.

    Example:
        >>> group_of(Path('runs/demo/finetune'), None, 'config.yaml')
        'demo'
        >>> group_of(Path('runs/pretrain-20260301-120000'), None, 'config.yaml')
        'pretrain-20260301-120000'
    """
    if pretrained is not None:
        owner = _owner(Path(pretrained))
        file = owner / config_name
        if owner != run and file.is_file():
            found = yaml.safe_load(file.read_text(encoding='utf-8')) or {}
            return str(found.get('group') or _above(owner))
        return _above(owner)
    return _above(run)


def _owner(path: Path) -> Path:
    """The run folder that a checkpoint, or the folder itself, belongs to."""
    if path.suffix != '.ckpt':
        return path
    return path.parent.parent if path.parent.name == 'checkpoints' else path.parent


def _above(run: Path) -> str:
    """The folder above the run, or the run itself where that names no experiment."""
    run = run.resolve() if run.name in ('', '.', '..') else run
    return run.name if run.parent.name in ('', '.', '..', 'runs') else run.parent.name
