"""`lipfault sweep`: run a sweep file of W&B offline, in any number of processes."""

import json
import signal
from pathlib import Path
from typing import Any

from rich.console import Console

from lipfault.domains import Count, Seed
from lipfault.errors import LipfaultError
from lipfault.runs.atomic import replacing
from lipfault.sweeps.definition import Sweep, read_sweep
from lipfault.sweeps.trial import log_file, run_trial

MOST_FAILURES = 2
"""Failed trials in a row after which a process stops: most probably all would fail."""


def sweep(file: str, study: str, trials: Count = 20, seed: Seed = 0) -> None:
    """Run the trials of a sweep, one after the other, until none is left.

    Several processes may share a study: start the command several times. Started again, it resumes
    trials that were interrupted and repeats none that is finished.

    Args:
        file: The sweep file, in the format of `wandb sweep`.
        study: Folder of the study: journal, run folders, `results.json`.
        trials: Number of trials of `random` and `bayes`; a grid has one for each point.
        seed: Seed of the sampler.

    Raises:
        LipfaultError: If the file does not fit, Optuna is missing, or trials fail.
    """
    definition, folder = read_sweep(Path(file)), Path(study)
    opened = _open(definition, folder, trials, seed)
    # As an exception, SIGTERM lets `run_trial` end its child and release the lock of the trial.
    signal.signal(signal.SIGTERM, _stop)
    failures = 0
    while (trial := opened.ask()) is not None:
        Console(markup=False).print(
            f'trial {trial.number}: {trial.values}', highlight=False, soft_wrap=True
        )
        metrics = run_trial(definition.arguments(trial.values), trial.folder, trial.lock)
        opened.tell(trial, metrics)
        _write_results(folder, definition, opened.results())
        failures = 0 if (metrics or {}).get(definition.metric) is not None else failures + 1
        if failures == MOST_FAILURES:
            raise LipfaultError(f'{failures} trials failed in a row: see {log_file(trial.folder)}')
    _print_best(definition, opened.results())


def _open(definition: Sweep, folder: Path, trials: int, seed: int) -> Any:  # noqa: ANN401
    """Open the study; Optuna, an extra, is imported here."""
    try:
        from lipfault.sweeps.study import Study
    except ModuleNotFoundError as error:
        raise LipfaultError("lipfault sweep needs Optuna: pip install 'lipfault[sweep]'") from error
    return Study(folder, definition, trials, seed)


def _write_results(folder: Path, definition: Sweep, results: list[dict[str, Any]]) -> None:
    """Write all trials so far to `results.json`, after each trial: a study may be cut off."""
    content = {'metric': definition.metric, 'goal': definition.goal, 'trials': results}
    with replacing(folder / 'results.json', overwrite=True) as temporary:
        temporary.write_text(json.dumps(content, indent=1) + '\n', encoding='utf-8')


def _print_best(definition: Sweep, results: list[dict[str, Any]]) -> None:
    """Print how many trials are complete, and the best one."""
    done = [trial for trial in results if trial['state'] == 'complete']
    text = f'{len(done)} of {len(results)} trials complete'
    if done:
        choose = min if definition.goal == 'minimize' else max
        best = choose(done, key=lambda trial: trial['metrics'][definition.metric])
        value = best['metrics'][definition.metric]
        text += f'; best {definition.metric} {value:.4g}: trial {best["number"]}, {best["values"]}'
    Console().print(text, highlight=False, soft_wrap=True)


def _stop(*_: object) -> None:
    """Leave with the exit status of a process that SIGTERM has ended."""
    raise SystemExit(128 + signal.SIGTERM)
