"""What befalls each sample of a batch, drawn before any signal is touched."""

from dataclasses import dataclass

import torch
from torch import Tensor

from lipfault.errors import LipfaultError
from lipfault.faults.catalogue import AnyFault
from lipfault.faults.config import FaultConfig
from lipfault.faults.draws import Draws
from lipfault.modality import Modality


@dataclass(frozen=True)
class Plan:
    """The drawn parameters of a batch, on the CPU; `M` modalities in the engine's order.

    Args:
        sample_id: (batch,) int64.
        epoch: Epoch of the draws.
        kind: (batch, M) int64, index into the engine's names, -1 where there is no fault.
        severity: (batch, M) int64, 1 to 5, 0 where there is no fault.
        begin: (batch, M) float32, onset in windows from the window's start, at least -1.
        end: (batch, M) float32, end in windows from the window's start, above 1 if it goes on.
    """

    sample_id: Tensor
    epoch: int
    kind: Tensor
    severity: Tensor
    begin: Tensor
    end: Tensor


class Planner:
    """Draws plans: which samples, modalities, kinds and severities, and from when to when.

    Args:
        modalities: The modalities of a batch, in its order.
        config: The settings.
        kinds: The kinds to draw with their weights.
        names: All names that a plan's indices stand for.

    Raises:
        LipfaultError: If a weight is given for an unknown modality, or no kind fits any of them.
    """

    def __init__(
        self,
        modalities: dict[str, Modality],
        config: FaultConfig,
        kinds: dict[AnyFault, float],
        names: tuple[str, ...],
    ) -> None:
        self.config = config
        self.names = tuple(modalities)
        self.series = torch.tensor([each.kind == 'series' for each in modalities.values()])
        self.kind_weights = torch.zeros(len(modalities), len(names), dtype=torch.float64)
        for row, modality in enumerate(modalities.values()):
            for fault, weight in kinds.items():
                if fault.fits(modality):
                    self.kind_weights[row, names.index(fault.name)] = weight
        self.weights = self._modality_weights()
        self.severities = torch.tensor(
            [config.severities.get(severity, 0.0) for severity in range(6)], dtype=torch.float64
        )
        eligible = int((self.weights > 0).sum())
        spare = 0 if config.all_faulty or len(modalities) == 1 else 1
        self.most = min(config.max_faulty, eligible, len(modalities) - spare)

    def _modality_weights(self) -> Tensor:
        """(M,) float64, zero for a modality that no kind fits."""
        given = self.config.modality_weights
        for name in given or {}:
            if name not in self.names:
                raise LipfaultError(
                    f'faults: modality_weights: unknown modality {name!r}, known are '
                    f'{", ".join(self.names)}'
                )
        asked = [1.0 if given is None else given.get(name, 0.0) for name in self.names]
        fits = self.kind_weights.sum(1) > 0
        weights = torch.tensor(asked, dtype=torch.float64) * fits
        if not weights.sum() > 0:
            raise LipfaultError(
                'faults: none of the kinds to draw fits a modality that may be faulty '
                f'({", ".join(self.names)})'
            )
        return weights

    def __call__(self, sample_id: Tensor, epoch: int) -> Plan:
        """Draw the plan of a batch.

        Args:
            sample_id: (batch,) int64 on the CPU.
            epoch: Epoch; 0 for validation and test.
        """
        draws = Draws.of(self.config.seed, epoch, sample_id)
        faulty = self._which(draws)
        columns = [
            self._one(draws.stream(name), index, faulty[:, index])
            for index, name in enumerate(self.names)
        ]
        kind, severity, begin, end = (
            torch.stack(values, dim=1) for values in zip(*columns, strict=True)
        )
        return Plan(sample_id, epoch, kind, severity, begin, end)

    def _which(self, draws: Draws) -> Tensor:
        """(batch, M) bool, which modalities are faulty."""
        # The k smallest of -log(u)/w are a weighted draw without replacement
        # (Efraimidis & Spirakis 2006, doi:10.1016/j.ipl.2005.11.003).
        chance = 1 - draws.uniform('modality', (len(self.names),)).double()
        order = (-chance.log() / self.weights).argsort(dim=1, stable=True).argsort(1)
        count = draws.integers('count', 1, self.most)
        faulty = draws.uniform('faulty') >= self.config.clean_share
        return (order < count[:, None]) & faulty[:, None] & (self.weights > 0)

    def _one(self, draws: Draws, index: int, faulty: Tensor) -> tuple[Tensor, ...]:
        """Kind, severity, begin and end of one modality; (batch,) each."""
        weights = self.kind_weights[index]
        kind = draws.choice('kind', weights if weights.sum() > 0 else weights + 1)
        severity = draws.choice('severity', self.severities)
        begin, end = self._when(draws, bool(self.series[index]))
        return torch.where(faulty, kind, -1), severity * faulty, begin, end

    def _when(self, draws: Draws, series: bool) -> tuple[Tensor, Tensor]:
        """Begin and end, in windows."""
        whole = draws.uniform('whole') < self.config.whole_share
        begin = torch.where(whole, draws.uniform('begin') - 1, 0.9 * draws.uniform('begin'))
        length = (0.1 + 0.9 * draws.uniform('length')) * (1 - begin)
        ends = (draws.uniform('ends') < 0.5) & ~whole & series
        return begin, torch.where(ends, begin + length, 2.0)
