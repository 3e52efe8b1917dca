"""The planting script changes what it says and nothing else."""

import json
from pathlib import Path

import numpy as np
import pytest

from tests.audit.planting import ACTION, KINDS, STATE, Planted, plant, read_table, score

G1 = Path(__file__).parents[2].parent / 'shared/recordings/g1'
NAMES = {STATE: 'state', ACTION: 'action', 'observation.images.cam_high': 'eye'}


def finding(**given: object) -> dict[str, object]:
    plain = {
        'episode': 7, 'modality': 'state', 'channel': 3, 'other': None, 'kind': 'stuck', 'also': [],
        'start_s': 1.0, 'stop_s': 2.0,
    }  # fmt: skip
    return plain | given


@pytest.mark.parametrize(
    ('given', 'found', 'named', 'false'),
    [
        ({}, 1, 1, 0),
        ({'kind': 'drifting'}, 1, 0, 0),
        ({'channel': 4}, 0, 0, 1),
        ({'channel': 4, 'other': 3}, 1, 1, 0),
        ({'modality': 'action'}, 0, 0, 1),
        ({'episode': 8}, 0, 0, 1),
        ({'start_s': 5.0, 'stop_s': 6.0}, 0, 0, 1),
    ],
)
def test_findings_are_scored(given: dict[str, object], found: int, named: int, false: int) -> None:
    fault = Planted(7, 1, 'stuck', STATE, 3, None, 1.2, 3.0)
    result = score([fault], [finding(**given)], NAMES)
    assert (result['found'], result['named'], result['false']) == (found, named, false)


@pytest.mark.skipif(not G1.is_dir(), reason=f'no recordings at {G1}')
def test_a_copy_differs_in_the_fault_only(tmp_path: Path) -> None:
    info = json.loads((G1 / 'meta/info.json').read_text())
    faults = plant(G1, tmp_path, [1, 2, 4], len(KINDS), seed=3)
    assert [fault.kind for fault in faults] == list(KINDS)
    for fault in faults:
        assert fault.stop_s - fault.start_s >= 0.5
        if fault.channel is None:
            continue
        old, new = read_table(G1, info, fault.original), read_table(tmp_path, info, fault.episode)
        start, stop = round(fault.start_s * 30), round(fault.stop_s * 30)
        touched = np.zeros(old[fault.field].shape, bool)
        touched[start:stop, [c for c in (fault.channel, fault.other) if c is not None]] = True
        different = old[fault.field] != new[fault.field]
        assert different.any()
        assert not (different & ~touched).any()
        for name in {STATE, ACTION, 'timestamp'} - {fault.field}:
            np.testing.assert_array_equal(old[name], new[name])
