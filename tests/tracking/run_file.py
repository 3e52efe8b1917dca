"""Reads a `.wandb` file: W&B's records in the log format of LevelDB.

W&B itself reads these files in its compiled service only; its message types are public. Format:
https://github.com/google/leveldb/blob/main/doc/log_format.md, after a header of seven bytes.
"""

import json
import struct
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

from wandb.proto.wandb_internal_pb2 import Record

BLOCK, HEADER = 32768, 7


def payloads(data: bytes) -> Iterator[bytes]:
    """Whole records, put together from their fragments."""
    assert data[:4] == b':W&B'
    place, parts = HEADER, b''
    while place + HEADER <= len(data):
        if BLOCK - place % BLOCK < HEADER:  # the end of a block is filled with zeros
            place += BLOCK - place % BLOCK
            continue
        _, length, kind = struct.unpack('<IHB', data[place : place + HEADER])
        parts += data[place + HEADER : place + HEADER + length]
        place += HEADER + length
        if kind in (1, 4):  # a whole record, or the last fragment of one
            yield parts
            parts = b''


class RunFile:
    """What an offline run holds."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.records = [Record.FromString(part) for part in payloads(path.read_bytes())]

    def of(self, kind: str) -> list[Any]:
        """The records of a kind, in order."""
        return [getattr(r, kind) for r in self.records if r.WhichOneof('record_type') == kind]

    @property
    def run(self) -> Any:
        return self.of('run')[0]

    @property
    def job_type(self) -> str:
        return str(self.run.job_type)

    @property
    def config(self) -> dict[str, Any]:
        """The configuration with which the run started."""
        return {item.key: json.loads(item.value_json) for item in self.run.config.update}

    @cached_property
    def rows(self) -> list[dict[str, Any]]:
        """What was logged, row by row; of images and tables a dictionary."""
        found: list[dict[str, Any]] = []
        for history in self.of('history'):
            row: dict[str, Any] = {}
            for item in history.item:
                value = json.loads(item.value_json)
                name, *inner = item.nested_key or [item.key]
                if inner:
                    row.setdefault(name, {})[inner[-1]] = value
                else:
                    row[name] = value
            found.append(row)
        return found

    @property
    def names(self) -> set[str]:
        """Names of everything logged."""
        return {name for row in self.rows for name in row}
