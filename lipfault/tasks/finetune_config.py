"""Settings of stage 2."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

from torch import nn

from lipfault.domains import NonNegative, OpenShare, Positive, Seed, validated
from lipfault.errors import LipfaultError

NO_CLIP_VAL = (
    'trainer.gradient_clip_val: has no effect in stage 2, which clips by module; give '
    "model.config.clip, for example {'block.detector': 1.0, 'block.corrector': 1.0}"
)
"""Message about a setting of Lightning that `FinetuneConfig.clip` replaces."""


@validated
@dataclass
class LossWeights:
    """Weights of the terms of the objective, and their parameters.

    Args:
        rec: λ_rec, error of the corrected signals.
        sim: λ_sim, distance of the corrected latent from the clean one.
        con: λ_con, contrastive term of the detector.
        det: Binary cross entropy of the faulty modality.
        map: Binary cross entropy of the fault maps.
        inf: Error of the inpainted signals where they are masked.
        own: Terms of the block at hand, see `ComputeBlock.own_terms`.
        margin: Target distance between faulty and clean embeddings.
        pull: Weight of the pull between clean embeddings in the contrastive term.
    """

    rec: NonNegative = 1.0
    sim: NonNegative = 0.1
    con: NonNegative = 0.1
    det: NonNegative = 1.0
    map: NonNegative = 1.0
    inf: NonNegative = 1.0
    own: NonNegative = 1.0
    margin: Positive = 10.0
    pull: NonNegative = 1.0


@validated
@dataclass
class FinetuneConfig:
    """Threshold, masks, clipping and modulation of stage 2.

    Args:
        false_alarm_rate: Share of clean windows above the threshold that a new episode keeps with a
            chance of 90 %, if there are 9 calibration episodes; in (0, 1). See
            `lipfault.metrics.calibration`.
        least_damage: Least damage, in units of the sensor noise, with which a fault trains the
            detector: a weaker one cannot be distinguished from noise.
        seed: Seed of the masks of the corrector in training.
        clip: Largest gradient norm by module of the task (`block.detector`, ...). A glob pattern
            (`block.parts.*.locator`) clips all its modules by their joint norm. The unclipped norms
            are logged.
        modulation: Rules by layer, see `lipfault.lipschitz.modulation`; patterns on the names of
            the block's layers (`corrector.trunk.*`, ...).

    Raises:
        LipfaultError: If a number is outside its domain.
    """

    false_alarm_rate: OpenShare = 0.01
    least_damage: NonNegative = 1.0
    seed: Seed = 0
    clip: dict[str, Positive] = field(default_factory=dict)
    modulation: dict[str, dict[str, Any]] = field(default_factory=dict)


def modules_to_clip(task: nn.Module, clip: Mapping[str, float]) -> dict[str, list[nn.Parameter]]:
    """Find the trained parameters that are clipped together.

    Args:
        task: The task.
        clip: Largest gradient norm by name or glob pattern of modules.

    Returns:
        Parameters by name or pattern, in the order of the modules.

    Raises:
        LipfaultError: If a name or pattern matches no module.
    """
    modules = dict(task.named_modules())
    found = {}
    for pattern in clip:
        matching = [module for name, module in modules.items() if fnmatchcase(name, pattern)]
        if not matching:
            parts = [n for n in modules if n.startswith('block.') and n.count('.') == 1]
            raise LipfaultError(
                f'config.clip: no module matches {pattern!r}; there are {", ".join(sorted(parts))}'
            )
        trained = (p for m in matching for p in m.parameters() if p.requires_grad)
        found[pattern] = list(dict.fromkeys(trained))  # once each, where modules are nested
    return found
