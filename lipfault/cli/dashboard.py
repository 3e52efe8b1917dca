"""`lipfault dashboard`: a W&B workspace and a W&B report over the runs of a project."""

import json
from pathlib import Path
from typing import Any

import wandb
from rich.console import Console

from lipfault.errors import LipfaultError
from lipfault.runs.atomic import replacing
from lipfault.tracking.layout import DASHBOARD
from lipfault.tracking.names import PROJECT


def dashboard(
    entity: str | None = None,
    project: str = PROJECT,
    group: str | None = None,
    dry_run: bool = False,
    out: str | None = None,
) -> None:
    """Build the dashboard of a W&B project: corrector and detector, norms and gains, trade-off.

    Args:
        entity: User or team; the default of the key if not given.
        project: W&B project.
        group: Group of runs to show; all if not given.
        dry_run: Whether to write the specification as JSON and send nothing, which needs neither
            a key nor wandb-workspaces.
        out: File for the specification; printed if not given.

    Raises:
        LipfaultError: If wandb-workspaces is missing, or W&B refuses.
    """
    if dry_run or out:
        _write(json.dumps(DASHBOARD.to_dict(), indent=2, ensure_ascii=False) + '\n', out)
    if dry_run:
        return
    # Needs the extra `dashboard`, which --dry-run does without.
    try:
        from lipfault.tracking import render
    except ModuleNotFoundError as error:
        raise LipfaultError(
            "lipfault dashboard needs wandb-workspaces: pip install 'lipfault[dashboard]'; "
            'lipfault dashboard --dry-run works without'
        ) from error
    # The default binds the function of this turn of the loop, not that of the last.
    for build in (render.workspace, render.report):
        saved = _save(lambda owner, build=build: build(DASHBOARD, owner, project, group), entity)
        Console(markup=False).print(f'{build.__name__}: {saved.url}', soft_wrap=True)


def _save(build: Any, entity: str | None) -> Any:  # noqa: ANN401
    """Send a workspace or report; word an error of W&B in one line."""
    try:
        return build(entity or wandb.Api().default_entity).save()
    except Exception as error:  # wandb-workspaces lets errors of every kind through
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise LipfaultError(
            f'W&B refused the dashboard: {reason}. Is there a key (wandb login), and may it write '
            f'to the project? --dry-run writes the specification without W&B'
        ) from error


def _write(text: str, out: str | None) -> None:
    """Write the specification to a file, or print it."""
    if out is None:
        Console().file.write(text)  # unformatted: the console would break long lines
        return
    with replacing(Path(out), overwrite=True) as temporary:
        temporary.write_text(text, encoding='utf-8')
    Console(markup=False).print(f'specification: {out}', soft_wrap=True)
