"""Rows of the episodes of a Parquet table."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from lipfault.errors import LipfaultError
from lipfault.importers.readers.parquet_columns import Table, opened

_MOST_ROWS = 2**16


@dataclass(frozen=True)
class EpisodeRows:
    """Rows of an episode.

    Args:
        table: The table.
        where: File and episode, for messages.
        first: First row.
        last: Last row.
        value: Value of the episode column, None if all rows are of this episode.
    """

    table: Table
    where: str
    first: int
    last: int
    value: object = None


def episodes_of(table: Table) -> dict[str | None, EpisodeRows]:
    """Return the rows of each episode, in the order in which they begin.

    Args:
        table: The table.

    Returns:
        The rows by the value of the episode column; None if the table is one episode. Nothing for
        a table without rows.

    Raises:
        LipfaultError: If the column holds no names or numbers of episodes, or is empty in a row.
    """
    if table.rows == 0:
        return {}
    if table.episode is None:
        return {None: EpisodeRows(table, str(table.path), 0, table.rows - 1)}
    limits: dict[object, list[int]] = {}
    row = 0
    with opened(table.path) as file:
        for batch in file.iter_batches(batch_size=_MOST_ROWS, columns=[table.episode]):
            values = batch[table.episode]
            place = f'{table.path}: column {table.episode!r}'
            if pa.types.is_nested(values.type) or pa.types.is_floating(values.type):
                raise LipfaultError(f'{place} holds {values.type}, no episodes')
            if values.null_count:
                raise LipfaultError(f'{place} is empty in a row from {row}')
            for value in values.unique().to_pylist():
                rows = row + np.flatnonzero(pa.compute.equal(values, value))
                limits.setdefault(value, [int(rows[0]), 0])[1] = int(rows[-1])
            row += len(batch)
    return {
        str(value): EpisodeRows(table, f'{table.path}: episode {value}', first, last, value)
        for value, (first, last) in limits.items()
    }


def batches(rows: EpisodeRows, columns: Sequence[str], size: int) -> Iterator[pa.RecordBatch]:
    """Yield the rows of an episode from the row groups that hold it.

    Args:
        rows: The episode.
        columns: Names of the columns.
        size: Rows of a batch, at most.

    Yields:
        Batches with at least one row.
    """
    by = rows.table.episode if rows.value is not None else None
    # Of columns without a name nothing is read: the first stands for the number of rows.
    names = {*columns, *([] if by is None else [by])} or {rows.table.columns[0]}
    with pq.ParquetFile(rows.table.path) as file:
        counts = [file.metadata.row_group(n).num_rows for n in range(file.num_row_groups)]
        groups = [
            number
            for number, end in enumerate(np.cumsum(counts))
            if end > rows.first and end - counts[number] <= rows.last
        ]
        for batch in file.iter_batches(batch_size=size, row_groups=groups, columns=sorted(names)):
            if by is not None:
                batch = batch.filter(pa.compute.equal(batch[by], rows.value))
            if len(batch):
                yield batch
