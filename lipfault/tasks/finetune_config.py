"""Settings of stage 2."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from torch import nn

from lipfault.errors import LipfaultError


@dataclass
class LossWeights:
    """Weights of the terms of the objective, and what belongs to them.

    Args:
        rec: λ_rec, error of the cleaned signals.
        sim: λ_sim, distance of the corrected latent from the clean one.
        con: λ_con, contrastive term of the detector.
        det: Binary cross entropy of the faulty modality.
        map: Binary cross entropy of the fault maps.
        inf: Error of what the corrector infers where something is hidden.
        own: Terms that only the block at hand has, see `ComputeBlock.own_terms`.
        margin: Distance wanted between faulty and clean embeddings.
        pull: Weight of the pull between clean embeddings in the contrastive term.
    """

    rec: float = 1.0
    sim: float = 0.1
    con: float = 0.1
    det: float = 1.0
    map: float = 1.0
    inf: float = 1.0
    own: float = 1.0
    margin: float = 10.0
    pull: float = 1.0


@dataclass
class FinetuneConfig:
    """What the stage does beside its losses.

    Args:
        false_alarm_rate: Share of clean validation windows above the threshold, in (0, 1).
        least_damage: Faults that change the signal by less, in units of the sensor noise, do not
            train the detector: nothing can tell them from clean samples.
        seed: Seed of what is hidden from the corrector in training.
        clip: Largest gradient norm by module of the task (`block.detector`, ...); the unclipped
            norms are logged.
        modulation: Layers and their rules, see `lipfault.lipschitz.modulation`; patterns on the
            names of the block's layers (`corrector.trunk.*`, ...).

    Raises:
        LipfaultError: If the false alarm rate is not between 0 and 1.
    """

    false_alarm_rate: float = 0.01
    least_damage: float = 1.0
    seed: int = 0
    clip: dict[str, float] = field(default_factory=dict)
    modulation: dict[str, dict[str, Any]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse a rate that no threshold has."""
        if not 0 < self.false_alarm_rate < 1:
            raise LipfaultError(
                f'config.false_alarm_rate: must be above 0 and below 1, got {self.false_alarm_rate}'
            )


def require_modules(task: nn.Module, clip: Iterable[str]) -> None:
    """Refuse to clip the gradient of a module that a task does not have.

    Raises:
        LipfaultError: Naming it, and the parts of the block.
    """
    known = {name for name, _ in task.named_modules()}
    for name in clip:
        if name not in known:
            parts = [n for n in known if n.startswith('block.') and n.count('.') == 1]
            raise LipfaultError(
                f'config.clip: there is no module {name!r}; there are {", ".join(sorted(parts))}'
            )
