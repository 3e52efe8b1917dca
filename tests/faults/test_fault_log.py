"""The fault log holds what the labels hold; missing values are separated from signals."""

import json

import pytest
import torch
from fault_cell import CELL, batch

from lipfault.errors import LipfaultError
from lipfault.faults.config import FaultConfig
from lipfault.faults.engine import FaultEngine
from lipfault.faults.log import FaultLog, read_log
from lipfault.faults.presence import split_missing


def test_the_log_holds_every_fault(tmp_path):
    config = FaultConfig(max_faulty=2, pattern_share=0.3)
    engine = FaultEngine(CELL, config)
    _, labels = engine(*batch(torch.arange(100, 200)))
    log = FaultLog(tmp_path / 'faults.jsonl', CELL, engine.names)
    assert log.write(labels, torch.arange(100, 200), split='test') == labels.modality.sum()
    log.write(labels, torch.arange(100, 200), split='again')
    found = read_log(tmp_path / 'faults.jsonl')
    assert len(found) == 2 * labels.modality.sum()
    for record in found[: len(found) // 2]:
        row, place = record['sample_id'] - 100, list(CELL).index(record['modality'])
        assert record['split'] == 'test'
        assert record['kind'] == engine.names[labels.kind[row, place]]
        assert record['severity'] == labels.severity[row, place]
        assert record['onset_s'] == pytest.approx(labels.onset[row, place].item(), abs=1e-5)
        assert record['damage'] == labels.damage[row, place].item()
        touched = labels.channels[record['modality']][row]
        assert record['channels'] == touched.nonzero()[:, 0].tolist()
    assert {record['pattern'] for record in found} > {None}


def test_a_torn_log_is_named(tmp_path):
    path = tmp_path / 'faults.jsonl'
    path.write_text(json.dumps({'a': 1}) + '\n{"b": \n')
    with pytest.raises(LipfaultError, match='line 2: no JSON'):
        read_log(path)


def test_a_log_needs_its_folder(tmp_path):
    with pytest.raises(LipfaultError, match='cannot write the fault log'):
        FaultLog(tmp_path / 'no' / 'faults.jsonl', CELL, ())


def test_missing_values_become_the_middle_of_the_range():
    signals, _, _ = batch(torch.arange(3))
    signals['arm'][1, 2, 5:9] = torch.nan
    signals['front'][0, :, 4] = torch.nan
    finite, present = split_missing(signals, CELL)
    for name, signal in signals.items():
        assert torch.equal(present[name], ~signal.isnan())
        assert torch.equal(finite[name][present[name]], signal[present[name]])
    assert bool((finite['arm'][~present['arm']] == 0).all())
    assert bool((finite['front'][~present['front']] == 0.5).all())
