"""Attribute a fault to one of two partners: to the one that contradicts its own modality, too."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from lipfault.audit.findings import Candidate
from lipfault.audit.grid import moving_mean
from lipfault.audit.relations import cross_fit
from lipfault.audit.types import Array, Relation, Table

# Window over which the residual inside a modality is averaged, s.
_SLOW_S = 0.5

# Ratio of residuals from which the partner is named instead of the channel that follows.
_CLEAR = 2.0


class Attribution:
    """Residuals of each channel given the other channels of its modality.

    Args:
        table: The channels.
        relations: Relations of following channels.
    """

    def __init__(self, table: Table, relations: Sequence[Relation]) -> None:
        """Keep the table; residuals are computed on demand."""
        self._table = table
        back = {relation.partner: relation.channel for relation in relations}
        self._partner = back | {relation.channel: relation.partner for relation in relations}
        self._column = {key: column for column, key in enumerate(table.keys)}
        self._inside: dict[int, tuple[Array, ...]] = {}

    def settle(self, candidate: Candidate) -> Candidate:
        """Name the partner instead of the channel if it contradicts its own modality more.

        Args:
            candidate: A drifting, delayed or swapped channel.

        Returns:
            The candidate, with the partners exchanged where the evidence is clear.
        """
        if candidate.channel is None:
            return candidate
        column = self._column[candidate.modality, candidate.channel]
        columns = [column]
        if 'with' in candidate.detail:
            columns.append(self._column[tuple(candidate.detail['with'])])
        if any(each not in self._partner for each in columns):
            return candidate
        partners = [self._partner[each] for each in columns]
        own = max(self._inside_residual(each, candidate) for each in columns)
        other = max(self._inside_residual(each, candidate) for each in partners)
        if other < _CLEAR * own or self._table.keys[partners[0]][0] == candidate.modality:
            return candidate
        modality, channel = self._table.keys[partners[0]]
        detail = {**candidate.detail, 'against': [candidate.modality, candidate.channel]}
        if len(partners) > 1:
            detail['with'] = list(self._table.keys[partners[1]])
        if 'offset' in detail:
            detail['offset'] = -detail['offset']
        return replace(candidate, modality=modality, channel=channel, detail=detail)

    def _inside_residual(self, column: int, candidate: Candidate) -> float:
        """Return the slow residual inside the modality over its typical size, in the stretch."""
        if column not in self._inside:
            self._inside[column] = self._residuals(column)
        residuals = self._inside[column]
        rate = self._table.rate_hz
        start = int(candidate.start_s * rate)
        stretch = residuals[candidate.episode][start : max(start + 1, int(candidate.stop_s * rate))]
        typical = np.median([np.sqrt(np.mean(each**2)) for each in residuals])
        return float(np.sqrt(np.mean(stretch**2)) / max(typical, 1e-12)) if stretch.size else 0.0

    def _residuals(self, column: int) -> tuple[Array, ...]:
        """Return the slow residual of a channel given the other channels of its modality."""
        name = self._table.keys[column][0]
        others = [c for c, key in enumerate(self._table.keys) if key[0] == name and c != column]
        designs = [
            np.concatenate([values[:, others], np.ones((len(values), 1))], axis=1)
            for values in self._table.values
        ]
        series = [values[:, column] for values in self._table.values]
        expected = cross_fit(designs, series)
        width = self._table.steps(_SLOW_S)
        return tuple(moving_mean(s - e, width) for s, e in zip(series, expected, strict=True))
