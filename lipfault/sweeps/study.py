"""A study on Optuna, in a journal that several processes share; Optuna's only importer."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial, Trial, TrialState

from lipfault.errors import LipfaultError
from lipfault.sweeps.definition import Choice, Sweep

RUN, METRICS, INTERRUPTED, SWEEP = 'run', 'metrics', 'interrupted', 'sweep'
"""What is noted with a trial: its run folder, its metrics, whether it was cut off; the sweep."""


@dataclass(frozen=True)
class Assigned:
    """A trial for this process.

    Args:
        number: Its number in the study.
        values: Value of each parameter.
        folder: Its run folder.
        lock: Descriptor of the file that is locked as long as anyone works on the trial.
    """

    number: int
    values: dict[str, Any]
    folder: Path
    lock: int


class Study:
    """Trials of a sweep, dealt out to any number of processes.

    A process holds a lock on the trial that it works on, and so do the processes that it starts;
    the system lets go of it when the last of them ends, however it ends. Whoever asks next finds
    such a trial, and deals it out again with the same values and the same run folder.

    Args:
        folder: Folder of the study, made if missing.
        sweep: What is varied and what judges.
        trials: Number of trials; a grid has as many as points.
        seed: What `random` and `bayes` draw is a function of it and of the trials before.

    Raises:
        LipfaultError: If the folder holds the study of another sweep.
    """

    def __init__(self, folder: Path, sweep: Sweep, trials: int, seed: int = 0) -> None:
        """Open the journal or begin it."""
        self.folder, self.sweep, self.seed = folder, sweep, seed
        self.wanted = len(sweep.grid()) if sweep.method == 'grid' else trials
        (folder / 'trials').mkdir(parents=True, exist_ok=True)
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        with self._alone():
            self._study = optuna.create_study(
                storage=JournalStorage(JournalFileBackend(str(folder / 'journal.log'))),
                study_name='sweep',
                direction=sweep.goal,
                load_if_exists=True,
            )
            self._begin()

    def ask(self) -> Assigned | None:
        """The next trial, None if none is left; those that were cut off come again."""
        with self._alone():
            self._collect_dead()
            if not self._left():
                return None
            self._study.sampler = self._sampler()
            trial = self._study.ask()
            values = {name: self._value(trial, name) for name in self.sweep.parameters}
            run = trial.user_attrs.get(RUN) or f'trials/{trial.number:04d}'
            trial.set_user_attr(RUN, run)
            lock = _try_lock(self._lock_file(trial.number))
            if lock is None:
                raise LipfaultError(f'trial {trial.number} of {self.folder} is held by another')
            return Assigned(trial.number, values, self.folder / run, lock)

    def tell(self, trial: Assigned, metrics: dict[str, float] | None) -> None:
        """Note what came of a trial, and let go of it; None or no such metric is a failure."""
        value = (metrics or {}).get(self.sweep.metric)
        frozen = self._study.trials[trial.number]
        if metrics is not None:
            Trial(self._study, frozen._trial_id).set_user_attr(METRICS, metrics)
        state = TrialState.FAIL if value is None else TrialState.COMPLETE
        self._study.tell(trial.number, value, state=state)
        os.close(trial.lock)

    def results(self) -> list[dict[str, Any]]:
        """Number, state, values, run folder and metrics of all trials that were not cut off."""
        return [
            {
                'number': t.number,
                'state': t.state.name.lower(),
                'values': t.params,
                'run': t.user_attrs.get(RUN),
                'metrics': t.user_attrs.get(METRICS, {}),
            }
            for t in self._study.get_trials(deepcopy=False)
            if not t.user_attrs.get(INTERRUPTED)
        ]

    def _begin(self) -> None:
        """Note the sweep in a new study, and line up its grid; compare it in an old one."""
        said = self.sweep.to_dict()
        before = self._study.user_attrs.get(SWEEP)
        if before is None:
            for point in self.sweep.grid() if self.sweep.method == 'grid' else ():
                self._study.enqueue_trial(point)
            self._study.set_user_attr(SWEEP, said)
        elif before != said:
            differing = [key for key in said if before.get(key) != said[key]]
            raise LipfaultError(
                f'{self.folder} holds the study of another sweep: {", ".join(differing)} differ; '
                'choose another --study'
            )

    def _left(self) -> bool:
        """Whether a trial is waiting, or fewer were begun than are wanted."""
        trials = self._study.get_trials(deepcopy=False)
        if any(t.state == TrialState.WAITING for t in trials):
            return True
        begun = [t for t in trials if not t.user_attrs.get(INTERRUPTED)]
        return self.sweep.method != 'grid' and len(begun) < self.wanted

    def _collect_dead(self) -> None:
        """Line up again what nobody works on any more."""
        for trial in self._running():
            lock = _try_lock(self._lock_file(trial.number))
            if lock is not None:
                if trial.number in {t.number for t in self._running()}:  # not told meanwhile
                    self._line_up_again(trial)
                os.close(lock)

    def _running(self) -> list[FrozenTrial]:
        return self._study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))

    def _line_up_again(self, trial: FrozenTrial) -> None:
        run = trial.user_attrs.get(RUN) or f'trials/{trial.number:04d}'
        Trial(self._study, trial._trial_id).set_user_attr(INTERRUPTED, True)
        self._study.tell(trial.number, state=TrialState.FAIL)
        self._study.enqueue_trial(trial.params, user_attrs={RUN: run})

    def _sampler(self) -> optuna.samplers.BaseSampler:
        seed = self.seed + len(self._study.get_trials(deepcopy=False))
        if self.sweep.method == 'bayes':
            return optuna.samplers.TPESampler(seed=seed, constant_liar=True)
        return optuna.samplers.RandomSampler(seed=seed)

    def _value(self, trial: Trial, name: str) -> Any:  # noqa: ANN401
        parameter = self.sweep.parameters[name]
        if isinstance(parameter, Choice):
            return trial.suggest_categorical(name, parameter.values)
        if parameter.whole:
            return trial.suggest_int(name, int(parameter.low), int(parameter.high))
        return trial.suggest_float(name, parameter.low, parameter.high, log=parameter.logarithmic)

    def _lock_file(self, number: int) -> Path:
        return self.folder / 'trials' / f'{number:04d}.lock'

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """One process at a time."""
        with (self.folder / 'study.lock').open('a') as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield


def _try_lock(path: Path) -> int | None:
    """Descriptor of a file locked for this process and its children, None if another has it."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        return None
    return descriptor
