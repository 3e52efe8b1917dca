"""The group of a run in W&B: a stage 1 and all runs that start from it."""

from pathlib import Path

from lipfault.runs.config import read_config
from lipfault.runs.folder import CONFIG_NAME, RunFolder


def group_of(run: Path, pretrained: str | None, config_name: str = CONFIG_NAME) -> str:
    """Return the name of the group of a run: that of its stage 1 if it has one.

    Args:
        run: The run folder.
        pretrained: Checkpoint or run folder of stage 1, None for a run without.
        config_name: Name of the configuration in a run folder.

    Returns:
        `group` of the configuration of stage 1 if set, else the name of the folder above the run,
        or of the run itself where the folder above names no experiment.

    Example:
        >>> group_of(Path('runs/demo/finetune'), None)
        'demo'
        >>> group_of(Path('runs/pretrain-20260301-120000'), None)
        'pretrain-20260301-120000'
    """
    if pretrained is None:
        return _experiment(run)
    owner = RunFolder.of(pretrained).path
    file = owner / config_name
    # The group that stage 1 was given may be another than its folder suggests.
    if owner != run and file.is_file():
        return str(read_config(file).get('group') or _experiment(owner))
    return _experiment(owner)


def _experiment(run: Path) -> str:
    """Return the name of the folder above, or of the run where that names no experiment."""
    run = run.resolve() if run.name in ('', '.', '..') else run
    return run.name if run.parent.name in ('', '.', '..', 'runs') else run.parent.name
