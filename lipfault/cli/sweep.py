"""`lipfault sweep`: a sweep file of W&B, run offline by any number of processes."""

import json
import signal
from pathlib import Path
from typing import Any

from rich.console import Console

from lipfault.errors import LipfaultError
from lipfault.runs.atomic import replacing
from lipfault.sweeps.definition import Sweep, read_sweep
from lipfault.sweeps.trial import log_file, run_trial

MOST_FAILURES = 2
"""Failed trials in a row after which a process stops: the command is probably wrong."""


def sweep(file: str, study: str, trials: int = 20, seed: int = 0) -> None:
    """Run the trials of a sweep, one after the other, until none is left.

    Start it several times for several processes on one study. Started again, it goes on: trials
    that were cut off are resumed, finished ones are not repeated.

    Args:
        file: The sweep file, as `wandb sweep` takes it.
        study: Folder of the study: journal, run folders, `results.json`.
        trials: Number of trials of `random` and `bayes`; a grid has as many as points.
        seed: Seed of what is drawn.

    Raises:
        LipfaultError: If the file does not fit, Optuna is missing, or trials fail.
    """
    definition, folder = read_sweep(Path(file)), Path(study)
    opened = _open(definition, folder, trials, seed)
    signal.signal(signal.SIGTERM, _stop)
    failures = 0
    while (trial := opened.ask()) is not None:
        Console().print(f'trial {trial.number}: {trial.values}', highlight=False, soft_wrap=True)
        metrics = run_trial(definition.arguments(trial.values), trial.folder, trial.lock)
        opened.tell(trial, metrics)
        _write_results(folder, definition, opened.results())
        failures = 0 if (metrics or {}).get(definition.metric) is not None else failures + 1
        if failures == MOST_FAILURES:
            raise LipfaultError(f'{failures} trials failed in a row: see {log_file(trial.folder)}')
    _tell(definition, opened.results())


def _open(definition: Sweep, folder: Path, trials: int, seed: int) -> Any:  # noqa: ANN401
    try:
        from lipfault.sweeps.study import Study
    except ModuleNotFoundError as error:
        raise LipfaultError("lipfault sweep needs Optuna: pip install 'lipfault[sweep]'") from error
    return Study(folder, definition, trials, seed)


def _write_results(folder: Path, definition: Sweep, results: list[dict[str, Any]]) -> None:
    content = {'metric': definition.metric, 'goal': definition.goal, 'trials': results}
    with replacing(folder / 'results.json', overwrite=True) as temporary:
        temporary.write_text(json.dumps(content, indent=1) + '\n', encoding='utf-8')


def _tell(definition: Sweep, results: list[dict[str, Any]]) -> None:
    """How many trials there are, and the best."""
    done = [trial for trial in results if trial['state'] == 'complete']
    text = f'{len(done)} of {len(results)} trials complete'
    if done:
        choose = min if definition.goal == 'minimize' else max
        best = choose(done, key=lambda trial: trial['metrics'][definition.metric])
        value = best['metrics'][definition.metric]
        text += f'; best {definition.metric} {value:.4g}: trial {best["number"]}, {best["values"]}'
    Console().print(text, highlight=False, soft_wrap=True)


def _stop(*_: object) -> None:
    raise SystemExit(128 + signal.SIGTERM)


COMMANDS = {'sweep': sweep}
"""Commands of this module by name."""
