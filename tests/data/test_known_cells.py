"""Sensors and kinematics of a modality in a file, and those of the simulated cells."""

import json
from dataclasses import replace
from math import cos, sin

import pytest

from lipfault.cells.irb1600 import IRB1600
from lipfault.cells.registry import CELLS
from lipfault.cells.ur5 import UR5
from lipfault.cells.weld_scene import _BEND, _BODY, _NECK
from lipfault.data.known_cells import with_sensors
from lipfault.data.layout import attrs_to_modality, modality_to_attrs
from lipfault.errors import LipfaultError

ARMS = {
    ('ur5', 'kinematics'): UR5,
    ('welding_single', 'kinematics'): IRB1600,
    ('welding_dual', 'kinematics_left'): IRB1600,
    ('welding_dual', 'kinematics_right'): IRB1600,
}


def described(cell, name):
    return next(each for each in CELLS[cell].modalities() if each.name == name)


@pytest.mark.parametrize(('cell', 'name'), ARMS)
def test_the_chain_is_that_of_the_tables_of_the_arm(cell, name):
    modality = described(cell, name)
    rows = tuple((k.d, k.a, k.alpha, k.offset) for k in ARMS[cell, name].links)
    assert modality.chain.joints == rows
    assert modality.groups['encoder2'] == ('position_joint2', 'velocity_joint2')
    assert modality.derived == modality.channels[18:33]


def test_the_torch_is_that_of_the_scene():
    tool = described('welding_single', 'kinematics').chain.tool
    reach = _NECK + 0.035  # of the neck and the wire
    assert tool[3] == pytest.approx(reach * sin(_BEND))
    assert tool[11] == pytest.approx(0.03 + _BODY + reach * cos(_BEND))


def test_other_cells_and_channels_are_left_alone():
    plain = replace(described('ur5', 'kinematics'), groups={}, derived=(), chain=None)
    assert with_sensors(plain, 'elsewhere') is plain
    assert with_sensors(replace(plain, name='other'), 'ur5').chain is None
    renamed = replace(plain, channels=tuple(f'{name}_' for name in plain.channels))
    assert with_sensors(renamed, 'ur5') is renamed
    own = replace(plain, groups={'first': plain.channels[:2]})
    assert with_sensors(own, 'ur5') is own


def test_a_description_survives_the_attributes_of_a_file():
    modality = replace(described('ur5', 'kinematics'), quantum_inferred=False)
    attrs = modality_to_attrs(modality)
    assert all(isinstance(attrs[key], str) for key in ('groups', 'chain'))
    assert attrs_to_modality('kinematics', attrs, 'here') == modality
    plain = modality_to_attrs(replace(modality, groups={}, derived=(), chain=None))
    assert not {'groups', 'derived', 'chain'} & set(plain)


@pytest.mark.parametrize(
    ('key', 'value', 'message'),
    [
        ('groups', '{"encoder1": ["position_joint9"]}', "unknown channel 'position_joint9'"),
        ('groups', '[', 'has an attribute of the wrong type'),
        ('groups', '[1]', 'has an attribute of the wrong type'),
        ('chain', json.dumps({'joints': []}), 'chain: needs joints, base, tool and angles'),
        ('derived', 'tool_position_x', "'derived' must be a list"),
    ],
)
def test_a_wrong_description_names_file_and_value(key, value, message):
    attrs = modality_to_attrs(described('ur5', 'kinematics')) | {key: value}
    with pytest.raises(LipfaultError, match='here: .*' + message):
        attrs_to_modality('kinematics', attrs, 'here')
