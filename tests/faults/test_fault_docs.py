"""The examples of docs/faults/README.md run as they stand there."""

import re
from pathlib import Path

import jsonargparse
import torch
from fault_cell import camera, series

from lipfault.faults.config import FaultConfig
from lipfault.faults.contract import check_fault
from lipfault.faults.engine import FaultEngine

PAGE = (Path(__file__).parents[2] / 'docs/faults/README.md').read_text()


def blocks(language):
    return re.findall(rf'```{language}\n(.*?)```', PAGE, flags=re.DOTALL)


def test_python_examples_run():
    cell = {'kinematics': series('kinematics', 3), 'camera': camera('camera')}
    names = {
        'modalities': cell,
        'signals': {'kinematics': torch.rand(40, 3, 50), 'camera': torch.rand(40, 3, 16, 12)},
        'history': {},
        'end_s': torch.arange(1.0, 41.0),
    }
    first, schedule, wobble, check = blocks('python')
    exec(schedule, names)
    assert bool(names['labels'].modality.any(0).all())
    exec(first, names)
    assert names['observed']['imu'].shape == (64, 3, 200)
    exec(wobble + check, names)
    check_fault(names['Wobble']())


def test_the_settings_example_is_valid():
    (text,) = blocks('yaml')
    parser = jsonargparse.ArgumentParser()
    parser.add_argument('--faults', type=FaultConfig)
    config = parser.instantiate(parser.parse_string(text)).faults
    cell = {'kinematics': series('kinematics', 3), 'camera': camera('camera')}
    assert config.held_out == ['drift', 'fog', 'frozen_frame']
    FaultEngine(cell, config).only_held_out()
