"""The examples of docs/faults/README.md run as they stand there."""

import re
from pathlib import Path

import jsonargparse
import pytest
import torch
from fault_cell import camera, series

from lipfault.faults.collection import NAMES, catalogue, load
from lipfault.faults.config import FaultConfig
from lipfault.faults.engine import FaultEngine
from lipfault.faults.series.site import SeriesFault

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
    first, scale, schedule, delay, _, _ = blocks('python')
    exec(schedule, names)
    assert bool(names['labels'].modality.any(0).all())
    exec(delay, names | {'alarm': names['labels'].faulty, 'window_s': 1.0})
    exec(first, names)
    assert names['observed']['imu'].shape == (64, 3, 200)
    assert not bool(names['labels'].faulty.all())  # of the engine, after those of one call
    exec(scale, names)
    _, labels = names['engine'](names['signals'], None, torch.arange(64))
    assert bool(labels.faulty.any())


def test_the_fault_of_ones_own_goes_by_its_class_path(tmp_path, monkeypatch):
    *_, wobble, check = blocks('python')
    (tmp_path / 'my').mkdir()
    (tmp_path / 'my' / 'module.py').write_text(wobble)
    monkeypatch.syspath_prepend(tmp_path)
    path = re.search(r'`kinds: {(.*?): 1}`', PAGE)[1]
    config = FaultConfig(kinds={path: 1.0}, clean_share=0.0)
    engine = FaultEngine({'arm': series('arm', 3)}, config)
    _, labels = engine({'arm': torch.rand(20, 3, 50)}, None, torch.arange(20))
    assert {engine.names[kind] for kind in labels.kind[:, 0].tolist()} == {'wobble'}
    assert bool((labels.damage > 0).all())
    exec(check, {'Wobble': type(load(path))})


def test_the_settings_example_is_valid():
    levels, text = blocks('yaml')
    parser = jsonargparse.ArgumentParser()
    parser.add_argument('--faults', type=FaultConfig)
    assert parser.instantiate(parser.parse_string(levels)).faults.sign == 'positive'
    config = parser.instantiate(parser.parse_string(text)).faults
    cell = {'kinematics': series('kinematics', 3), 'camera': camera('camera')}
    assert config.held_out == ['drift', 'fog', 'frozen_frame']
    FaultEngine(cell, config).only_held_out()


@pytest.mark.parametrize('name', NAMES)
def test_every_kind_documents_formula_cause_and_levels(name):
    fault = catalogue()[name]
    assert fault.name == name
    assert fault.formula.startswith("x'")
    assert fault.cause
    assert fault.level_text
    assert type(fault).__doc__.count('Formula:') == 1
    assert ('https://' in fault.source) == bool(fault.source)


def test_sections_of_a_docstring_are_attributes_that_a_class_may_set():
    class Documented(SeriesFault):
        """Add a constant.

        Formula:
            x' = x
            + A

        Cause:
            a test

        Reference:
            nobody
        """

        source = 'set'

    assert (Documented.formula, Documented.cause) == ("x' = x + A", 'a test')
    assert (Documented.level_text, Documented.source) == ('', 'set')
