"""Draw the faults of each sample of a batch, before any signal is changed."""

from collections.abc import Mapping

import torch
from torch import Tensor

from lipfault.errors import LipfaultError
from lipfault.faults.config import SEVERITIES, FaultConfig
from lipfault.faults.draws import Draws, as_choice, as_integers
from lipfault.faults.fault import AnyFault
from lipfault.faults.patterns import PATTERNS, PatternContext, weighted_patterns
from lipfault.faults.plan import Columns, Plan
from lipfault.modality import Modality

# Names of the streams with one number for each sample, and with one for each modality.
_PER_SAMPLE = ('faulty', 'count')
_PER_MODALITY = ('kind', 'severity', 'whole', 'begin', 'length', 'ends', 'modality')


class Planner:
    """Draw plans: which samples, modalities, kinds and severities, and from when to when.

    Args:
        modalities: The modalities of a batch, in its order.
        config: Settings of the engine.
        kinds: The kinds to draw with their weights.
        names: All names that a plan's indices stand for.
        held_out: Whether to draw the patterns held out instead of the others.
        forbidden: Kinds that patterns must not use: in training those held out.

    Raises:
        LipfaultError: If a weight is given for an unknown modality, no kind fits any of them, or
            patterns are requested of which none is possible.
    """

    def __init__(
        self,
        modalities: Mapping[str, Modality],
        config: FaultConfig,
        kinds: Mapping[AnyFault, float],
        names: tuple[str, ...],
        held_out: bool,
        forbidden: frozenset[str],
    ) -> None:
        """Compute the weights."""
        self._config = config
        each = list(modalities.values())
        self._series = torch.tensor([modality.kind == 'series' for modality in each])
        self._kinds = _kind_weights(each, kinds, names)
        weights = _modality_weights(config.modality_weights, list(modalities), self._kinds)
        self._kinds[weights == 0] = 1  # never used, but a choice needs a weight
        self._shapes: dict[str, tuple[int, ...]] = dict.fromkeys(_PER_SAMPLE, ())
        self._shapes |= dict.fromkeys(_PER_MODALITY, (len(each),))
        self._severities = torch.tensor(
            [config.severities.get(severity, 0.0) for severity in SEVERITIES], dtype=torch.float64
        )
        most = len(each) if config.all_faulty else max(1, len(each) - 1)
        self._most = min(config.max_faulty, int((weights > 0).sum()), most)
        self._context = PatternContext(
            each, names, weights, most, _cabinets(config, modalities), forbidden
        )
        self._patterns = weighted_patterns(
            config.patterns, config.held_out, held_out, self._context
        )
        if config.pattern_share > 0 and not self._patterns and not held_out:
            raise LipfaultError(
                f'faults: pattern_share is {config.pattern_share}, but no pattern is possible with '
                f'the modalities {", ".join(modalities)} and these settings'
            )

    def __call__(self, sample_id: Tensor, epoch: int) -> Plan:
        """Draw the plan of a batch.

        Args:
            sample_id: (batch,) int64 on the CPU.
            epoch: Epoch; 0 for validation and test.

        Returns:
            The plan.
        """
        draws = Draws.of(self._config.seed, epoch, sample_id)
        chance = draws.uniforms(self._shapes)
        faulty = (chance['faulty'] >= self._config.clean_share)[:, None]
        single, rank = self._single(chance), self._rank(chance['modality'])
        count = as_integers(chance['count'], 1, self._most)
        columns = single.only(faulty & (rank < count[:, None]) & (self._context.weights > 0))
        pattern = torch.full_like(sample_id, -1)
        if self._config.pattern_share > 0 and self._patterns:
            together = faulty & (draws.uniform('together')[:, None] < self._config.pattern_share)
            columns, pattern = self._together(draws, columns, single, rank, together)
        return Plan(sample_id, epoch, columns, pattern)

    def _single(self, chance: dict[str, Tensor]) -> Columns:
        """Return a kind, a severity and a time for every modality of every sample."""
        kind = as_choice(chance['kind'], self._kinds)
        severity = 1 + as_choice(chance['severity'], self._severities)
        whole = chance['whole'] < self._config.whole_share
        # In windows: a fault of the whole window began up to one window ago; another one begins in
        # the first 90 % and lasts for 10 to 100 % of what is left, enough to detect it.
        begin = torch.where(whole, chance['begin'] - 1, 0.9 * chance['begin'])
        length = (0.1 + 0.9 * chance['length']) * (1 - begin)
        ends = (chance['ends'] < 0.5) & ~whole & self._series
        end = torch.where(ends, begin + length, 2.0)  # 2 windows: after this one
        return Columns(kind, severity, begin, end, torch.full_like(kind, -1))

    def _rank(self, chance: Tensor) -> Tensor:
        """Return (batch, M) int64, a random order of the modalities by their weights.

        Reference:
            Efraimidis & Spirakis 2006, Weighted random sampling with a reservoir,
            https://doi.org/10.1016/j.ipl.2005.11.003
        """
        # The smallest -log(u) / w are a weighted draw without replacement.
        weighted = -(1 - chance.double()).log() / self._context.weights
        return weighted.argsort(dim=1, stable=True).argsort(1)

    def _together(
        self, draws: Draws, columns: Columns, single: Columns, rank: Tensor, together: Tensor
    ) -> tuple[Columns, Tensor]:
        """Replace single faults by patterns where `together`, (batch, 1) bool."""
        weights = torch.tensor(list(self._patterns.values()), dtype=torch.float64)
        choice = draws.choice('pattern', weights)[:, None]
        pattern = torch.full_like(choice, -1)
        for index, name in enumerate(self._patterns):
            chosen = together & (choice == index)
            drawn = PATTERNS[name].draw(self._context, draws, single, rank)
            columns = drawn.where(chosen, columns)
            pattern[chosen] = list(PATTERNS).index(name)
        return columns, pattern[:, 0]


def _kind_weights(
    modalities: list[Modality], kinds: Mapping[AnyFault, float], names: tuple[str, ...]
) -> Tensor:
    """Return (M, names) float64, zero where a kind does not fit or is not drawn."""
    weights = torch.zeros(len(modalities), len(names), dtype=torch.float64)
    for row, modality in enumerate(modalities):
        for fault, weight in kinds.items():
            if fault.fits(modality):
                weights[row, names.index(fault.name)] = weight
    return weights


def _modality_weights(given: dict[str, float] | None, names: list[str], kinds: Tensor) -> Tensor:
    """Return (M,) float64, zero for a modality that no kind fits."""
    for name in given or {}:
        if name not in names:
            raise LipfaultError(
                f'faults: modality_weights: unknown modality {name!r}, known are {", ".join(names)}'
            )
    requested = [1.0 if given is None else given.get(name, 0.0) for name in names]
    weights = torch.tensor(requested, dtype=torch.float64) * (kinds.sum(1) > 0)
    if not weights.sum() > 0:
        raise LipfaultError(
            'faults: none of the kinds to draw fits a modality that may be faulty '
            f'({", ".join(names)})'
        )
    return weights


def _cabinets(config: FaultConfig, modalities: Mapping[str, Modality]) -> list[list[str]]:
    """Return the modalities of each cabinet."""
    if config.cabinets is None:
        return [list(modalities)]
    for cabinet, members in config.cabinets.items():
        for name in members:
            if name not in modalities:
                raise LipfaultError(
                    f'faults: cabinets: {cabinet!r} holds an unknown modality {name!r}, known are '
                    f'{", ".join(modalities)}'
                )
    return list(config.cabinets.values())
