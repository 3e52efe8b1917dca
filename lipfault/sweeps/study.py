"""A study of Optuna in a journal shared by processes; the only module that imports Optuna."""

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
"""Keys of user attributes: run folder, metrics and interruption of a trial; sweep of the study."""


@dataclass(frozen=True)
class Assigned:
    """A trial assigned to this process.

    Args:
        number: Number of the trial in the study.
        values: Value of each parameter.
        folder: Run folder of the trial.
        lock: Descriptor of a file that stays locked while a process works on the trial.
    """

    number: int
    values: dict[str, Any]
    folder: Path
    lock: int


class Study:
    """Trials of a sweep, assigned to any number of processes by the ask interface of Optuna.

    A process and its child processes hold a lock on their trial; the system releases it when the
    last of them ends, however it ends. The next `ask` of any process finds such a trial and
    assigns it again with the same values and the same run folder.

    Args:
        folder: Folder of the study, made if missing.
        sweep: Parameters and metric.
        trials: Number of trials; a grid has one per point.
        seed: Seed of `random` and `bayes`; their values depend on it and on the earlier trials.

    Raises:
        LipfaultError: If the folder holds the study of another sweep.

    Reference:
        Akiba et al., Optuna, 2019: https://arxiv.org/abs/1907.10902
    """

    def __init__(self, folder: Path, sweep: Sweep, trials: int, seed: int = 0) -> None:
        """Open the journal or create it."""
        self.folder, self.sweep, self.seed = folder, sweep, seed
        self.wanted = len(sweep.grid()) if sweep.method == 'grid' else trials
        (folder / 'trials').mkdir(parents=True, exist_ok=True)
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        with self._exclusive():
            self._study = optuna.create_study(
                storage=JournalStorage(JournalFileBackend(str(folder / 'journal.log'))),
                study_name='sweep',
                direction=sweep.goal,
                load_if_exists=True,
            )
            self._initialize()

    def ask(self) -> Assigned | None:
        """Assign the next trial to this process, interrupted ones first.

        Returns:
            The trial, None if no trial is left.

        Raises:
            LipfaultError: If another process works on the trial.
        """
        with self._exclusive():
            self._requeue_interrupted()
            if not self._any_left():
                return None
            self._study.sampler = self._sampler()
            trial = self._study.ask()
            values = {name: self._value(trial, name) for name in self.sweep.parameters}
            # A requeued trial keeps its run folder, in which the training resumes.
            run = trial.user_attrs.get(RUN) or _run_name(trial.number)
            trial.set_user_attr(RUN, run)
            lock = _try_lock(self._lock_file(trial.number))
            if lock is None:
                raise LipfaultError(f'another process holds trial {trial.number} of {self.folder}')
            return Assigned(trial.number, values, self.folder / run, lock)

    def tell(self, trial: Assigned, metrics: dict[str, float] | None) -> None:
        """Record the result of a trial and release it.

        Args:
            trial: A trial of `ask`.
            metrics: Metrics of the run; without the metric of the sweep, or None, the trial failed.
        """
        value = (metrics or {}).get(self.sweep.metric)
        frozen = self._study.trials[trial.number]
        if metrics is not None:
            Trial(self._study, frozen._trial_id).set_user_attr(METRICS, metrics)
        state = TrialState.FAIL if value is None else TrialState.COMPLETE
        self._study.tell(trial.number, value, state=state)
        os.close(trial.lock)

    def results(self) -> list[dict[str, Any]]:
        """Return number, state, values, run folder and metrics of all but interrupted trials."""
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

    def _initialize(self) -> None:
        """Store the sweep and enqueue its grid in a new study; compare the sweep in an old one."""
        sweep = self.sweep.to_dict()
        stored = self._study.user_attrs.get(SWEEP)
        if stored is None:
            # Stored last: the study counts as new until its whole grid is enqueued.
            for point in self.sweep.grid() if self.sweep.method == 'grid' else ():
                self._study.enqueue_trial(point)
            self._study.set_user_attr(SWEEP, sweep)
        elif stored != sweep:
            differing = [key for key in sweep if stored.get(key) != sweep[key]]
            raise LipfaultError(
                f'{self.folder} holds the study of another sweep: {", ".join(differing)} differ; '
                'choose another --study'
            )

    def _any_left(self) -> bool:
        """Return whether a trial is waiting, or fewer trials than wanted have started."""
        trials = self._study.get_trials(deepcopy=False)
        if any(t.state == TrialState.WAITING for t in trials):
            return True
        started = [t for t in trials if not t.user_attrs.get(INTERRUPTED)]
        return self.sweep.method != 'grid' and len(started) < self.wanted

    def _requeue_interrupted(self) -> None:
        """Enqueue the running trials again whose processes have ended."""
        for trial in self._running():
            lock = _try_lock(self._lock_file(trial.number))
            if lock is not None:
                # The trial may have ended regularly between listing and locking.
                if trial.number in {t.number for t in self._running()}:
                    self._requeue(trial)
                os.close(lock)

    def _running(self) -> list[FrozenTrial]:
        return self._study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))

    def _requeue(self, trial: FrozenTrial) -> None:
        # Optuna cannot return a running trial to the queue: it fails, and a copy is enqueued.
        run = trial.user_attrs.get(RUN) or _run_name(trial.number)
        Trial(self._study, trial._trial_id).set_user_attr(INTERRUPTED, True)
        self._study.tell(trial.number, state=TrialState.FAIL)
        self._study.enqueue_trial(trial.params, user_attrs={RUN: run})

    def _sampler(self) -> optuna.samplers.BaseSampler:
        """Return the sampler of the next trial.

        Reference:
            Watanabe, Tree-structured Parzen estimator, 2023: https://arxiv.org/abs/2304.11127
        """
        # A seed per trial: the values do not depend on which process draws them.
        seed = self.seed + len(self._study.get_trials(deepcopy=False))
        if self.sweep.method == 'bayes':
            # The constant liar keeps parallel processes from drawing near the same point.
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
    def _exclusive(self) -> Iterator[None]:
        """Exclude the other processes of the study."""
        with (self.folder / 'study.lock').open('a') as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield


def _run_name(number: int) -> str:
    return f'trials/{number:04d}'


def _try_lock(path: Path) -> int | None:
    """Lock a file for this process and its children.

    Returns:
        Descriptor of the file, None if another process holds the lock.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        return None
    return descriptor
