"""Fault log: one line of JSON for each injected fault."""

import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from lipfault.errors import LipfaultError
from lipfault.faults.labels import FaultLabels
from lipfault.faults.patterns import PATTERNS

Record = dict[str, Any]


def records(
    labels: FaultLabels, sample_id: Tensor, modalities: Sequence[str], names: Sequence[str]
) -> Iterator[Record]:
    """Yield one dictionary of plain types for each faulty modality of each sample.

    Args:
        labels: Labels of a batch.
        sample_id: (batch,) int64.
        modalities: Names of the modalities, in the labels' order.
        names: Names of the kinds, `FaultEngine.names`.

    Yields:
        The entries that `FaultLog` documents.
    """
    shares = {name: mask.flatten(1).float().mean(1).tolist() for name, mask in labels.mask.items()}
    channels = {name: affected.cpu() for name, affected in labels.channels.items()}
    # Lists, since reading single entries of a tensor on a GPU waits for it each time.
    kind, severity = labels.kind.tolist(), labels.severity.tolist()
    onset, damage = labels.onset.tolist(), labels.damage.tolist()
    patterns = [-1] * len(kind) if labels.pattern is None else labels.pattern.tolist()
    ids = sample_id.tolist()
    for row, column in labels.modality.nonzero().tolist():
        name = modalities[column]
        yield {
            'sample_id': ids[row],
            'modality': name,
            'kind': names[kind[row][column]],
            'severity': severity[row][column],
            # Microseconds, about the precision of float32.
            'onset_s': round(onset[row][column], 6),
            'channels': channels[name][row].nonzero()[:, 0].tolist(),
            'touched': round(shares[name][row], 6),
            'damage': damage[row][column],
            'pattern': list(PATTERNS)[patterns[row]] if patterns[row] >= 0 else None,
        }


class FaultLog:
    """Write a fault log, a JSON Lines file that grows batch by batch.

    Each line holds `sample_id`, `modality`, `kind`, `severity`, `onset_s` (seconds from the
    window's start), `channels` (indices of the affected channels), `touched` (share of the entries
    affected), `damage` (see `FaultLabels`), `pattern`, and the extra entries of `write`.

    Args:
        path: File to create or overwrite; its folder must exist.
        modalities: Names of the modalities, in the labels' order.
        names: Names of the kinds, `FaultEngine.names`.

    Raises:
        LipfaultError: If the file cannot be written.
    """

    def __init__(self, path: str | Path, modalities: Iterable[str], names: Sequence[str]) -> None:
        """Create an empty file."""
        self._path, self._modalities, self._names = Path(path), tuple(modalities), names
        try:
            self._path.write_text('', encoding='utf-8')
        except OSError as error:
            raise LipfaultError(f'{path}: cannot write the fault log: {error}') from error

    def write(self, labels: FaultLabels, sample_id: Tensor, **extra: str | int | float) -> int:
        """Append the faults of a batch.

        Args:
            labels: Labels of the batch.
            sample_id: (batch,) int64.
            extra: More entries for each line, such as the split or the epoch.

        Returns:
            Number of lines written.
        """
        found = records(labels, sample_id, self._modalities, self._names)
        lines = [json.dumps(record | extra) + '\n' for record in found]
        with self._path.open('a', encoding='utf-8') as file:
            file.writelines(lines)
        return len(lines)


def read_log(path: str | Path) -> list[Record]:
    """Read a fault log.

    Args:
        path: A JSON Lines file.

    Returns:
        One record for each line.

    Raises:
        LipfaultError: If a line is not JSON; names file and line.
    """
    found = []
    for number, line in enumerate(Path(path).read_text(encoding='utf-8').splitlines(), start=1):
        try:
            found.append(json.loads(line))
        except json.JSONDecodeError as error:
            raise LipfaultError(f'{path}, line {number}: no JSON: {error}') from error
    return found
