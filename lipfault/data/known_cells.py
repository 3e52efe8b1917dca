"""Physical sensors and kinematics of the simulated cells, for recordings that lack them.

Recordings of format version 1 need not describe which channels belong to one sensor. The cells of
`lipfault.cells` are recognized by the root attribute `cell`.
"""

from dataclasses import replace
from math import cos, pi, sin

from lipfault.modality import Modality, SerialChain

# Denavit-Hartenberg rows d (m), a (m), alpha (rad), offset (rad), as in `lipfault.cells`, which
# needs an extra: the test of this module compares them.
_UR5 = (
    (0.089159, 0.0, pi / 2, 0.0),
    (0.0, -0.425, 0.0, 0.0),
    (0.0, -0.39225, 0.0, 0.0),
    (0.10915, 0.0, pi / 2, 0.0),
    (0.09465, 0.0, -pi / 2, 0.0),
    (0.0823, 0.0, 0.0, 0.0),
)
_IRB1600 = (
    (0.4865, 0.15, -pi / 2, 0.0),
    (0.0, 0.7, 0.0, -pi / 2),
    (0.0, 0.0, -pi / 2, 0.0),
    (0.6, 0.0, pi / 2, 0.0),
    (0.0, 0.0, -pi / 2, 0.0),
    (0.065, 0.0, 0.0, 0.0),
)

# Torch: its body, neck and wire and the sensor that carries it (m), bend of the neck (rad).
_BODY, _NECK, _WIRE, _FLANGE, _BEND = 0.15, 0.2, 0.035, 0.03, 0.63


def _transform(angle: float, axis: str, x: float, y: float, z: float) -> tuple[float, ...]:
    """Return the first three rows of a rotation about the y or z axis with a translation."""
    c, s = cos(angle), sin(angle)
    if axis == 'y':
        return (c, 0.0, s, x, 0.0, 1.0, 0.0, y, -s, 0.0, c, z)
    return (c, -s, 0.0, x, s, c, 0.0, y, 0.0, 0.0, 1.0, z)


_TORCH = _transform(
    _BEND,
    'y',
    _NECK * sin(_BEND) + _WIRE * sin(_BEND),
    0.0,
    _FLANGE + _BODY + _NECK * cos(_BEND) + _WIRE * cos(_BEND),
)

_Arm = tuple[tuple[tuple[float, ...], ...], tuple[float, ...], tuple[float, ...]]

# Joints, base and tool of each arm, by cell and modality.
_ARMS: dict[tuple[str, str], _Arm] = {
    ('ur5', 'kinematics'): (
        _UR5,
        _transform(pi, 'z', 0.0, 0.0, 0.0),
        _transform(0.0, 'z', 0.0, 0.0, 0.145),
    ),
    ('welding_single', 'kinematics'): (_IRB1600, _transform(0.0, 'z', 0.0, 0.0, 0.0), _TORCH),
    ('welding_dual', 'kinematics_left'): (_IRB1600, _transform(0.0, 'z', -0.9, 0.0, 0.0), _TORCH),
    ('welding_dual', 'kinematics_right'): (_IRB1600, _transform(pi, 'z', 0.9, 0.0, 0.0), _TORCH),
}


def with_sensors(modality: Modality, cell: str) -> Modality:
    """Add the physical sensors of a known cell to a modality that does not describe them.

    Encoders read angle and speed of a joint, a current sensor reads its torque, and the controller
    computes the tool's pose and velocity from the encoders.

    Args:
        modality: Description of the modality.
        cell: Name of the cell, the root attribute of the recording.

    Returns:
        The modality; the same one if it describes its sensors or the cell is unknown.
    """
    arm = _ARMS.get((cell, modality.name))
    if arm is None or modality.groups or modality.derived or modality.chain:
        return modality
    joints, base, tool = arm
    numbers = range(1, len(joints) + 1)
    chain = SerialChain(
        joints,
        base,
        tool,
        angles=tuple(f'position_joint{i}' for i in numbers),
        speeds=tuple(f'velocity_joint{i}' for i in numbers),
        position=tuple(f'tool_position_{axis}' for axis in 'xyz'),
        rotation=tuple(f'tool_rotation_{axis}' for axis in ('xx', 'xy', 'xz', 'yx', 'yy', 'yz')),
        velocity=tuple(f'tool_velocity_{axis}' for axis in 'xyz'),
        rate=tuple(f'tool_rate_{axis}' for axis in 'xyz'),
    )
    # A file of that name with other channels is not of the cell.
    if not {*chain.inputs, *chain.outputs} <= set(modality.channels):
        return modality
    encoders = {f'encoder{i}': (f'position_joint{i}', f'velocity_joint{i}') for i in numbers}
    return replace(modality, groups=encoders, derived=chain.outputs, chain=chain)
