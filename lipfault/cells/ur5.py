"""The UR5 (CB3) of Universal Robots as tables.

Sources: Denavit-Hartenberg parameters, masses and centres of mass from Universal Robots, "DH
Parameters for calculations of kinematics and dynamics" (universal-robots.com/articles); joint
torques from Universal Robots, "Max. joint torques" (150 N m for size 3, 28 N m for size 1); range
±360°, speed 180°/s, payload 5 kg and reach 850 mm from the UR5 technical specification. The maker
gives no inertia tensors and no friction: radii of gyration are those of solid cylinders of the
links' size; rotor inertia and friction are of the order found in published identifications.
"""

from math import pi

from lipfault.cells.design import ArmDesign, Link, Shape

_TURN = 2 * pi
_SPEED = pi
_BIG = {'torque': 150.0, 'armature': 0.4, 'damping': 3.0, 'friction': 2.0}
_SMALL = {'torque': 28.0, 'armature': 0.1, 'damping': 0.6, 'friction': 0.4}

_SHOULDER = Link(
    d=0.089159,
    a=0.0,
    alpha=pi / 2,
    offset=0.0,
    mass=3.7,
    com=(0.0, -0.02561, 0.00193),
    gyration=(0.053, 0.053, 0.042),
    low=-_TURN,
    high=_TURN,
    speed=_SPEED,
    **_BIG,
    shapes=(
        Shape('capsule', (0.075,), (0.0, 0.0, 0.02, 0.0, 0.0, 0.1), 'blue'),
        Shape('capsule', (0.07,), (0.0, 0.0, 0.089, 0.0, -0.1, 0.089), 'blue'),
    ),
)
_UPPER_ARM = Link(
    d=0.0,
    a=-0.425,
    alpha=0.0,
    offset=0.0,
    mass=8.393,
    com=(0.2125, 0.0, 0.11336),
    gyration=(0.042, 0.126, 0.126),
    low=-_TURN,
    high=_TURN,
    speed=_SPEED,
    **_BIG,
    shapes=(
        Shape('capsule', (0.075,), (0.0, 0.0, 0.08, 0.0, 0.0, 0.15), 'orange'),
        Shape('capsule', (0.065,), (0.0, 0.0, 0.13, -0.425, 0.0, 0.13), 'white'),
        Shape('capsule', (0.072,), (-0.425, 0.0, 0.06, -0.425, 0.0, 0.15), 'orange'),
    ),
)
_FOREARM = Link(
    d=0.0,
    a=-0.39225,
    alpha=0.0,
    offset=0.0,
    mass=2.33,
    com=(0.15, 0.0, 0.0265),
    gyration=(0.034, 0.117, 0.117),
    low=-_TURN,
    high=_TURN,
    speed=_SPEED,
    **_BIG,
    shapes=(
        Shape('capsule', (0.055,), (0.0, 0.0, 0.02, -0.392, 0.0, 0.02), 'yellow'),
        Shape('sphere', (0.062,), (-0.2, 0.0, 0.02), 'red'),
    ),
)
_WRIST_1 = Link(
    d=0.10915,
    a=0.0,
    alpha=pi / 2,
    offset=0.0,
    mass=1.219,
    com=(0.0, -0.0018, 0.01634),
    gyration=(0.043, 0.043, 0.042),
    low=-_TURN,
    high=_TURN,
    speed=_SPEED,
    **_SMALL,
    shapes=(Shape('capsule', (0.052,), (0.0, 0.0, -0.01, 0.0, 0.0, 0.11), 'green'),),
)
_WRIST_2 = Link(
    d=0.09465,
    a=0.0,
    alpha=-pi / 2,
    offset=0.0,
    mass=1.219,
    com=(0.0, 0.0018, 0.01634),
    gyration=(0.043, 0.043, 0.042),
    low=-_TURN,
    high=_TURN,
    speed=_SPEED,
    **_SMALL,
    shapes=(Shape('capsule', (0.05,), (0.0, 0.0, 0.0, 0.0, 0.0, 0.1), 'magenta'),),
)
_WRIST_3 = Link(
    d=0.0823,
    a=0.0,
    alpha=0.0,
    offset=0.0,
    mass=0.1879,
    com=(0.0, 0.0, -0.001159),
    gyration=(0.026, 0.026, 0.027),
    low=-_TURN,
    high=_TURN,
    speed=_SPEED,
    **_SMALL,
    shapes=(Shape('cylinder', (0.045,), (0.0, 0.0, 0.04, 0.0, 0.0, 0.082), 'white'),),
)

UR5 = ArmDesign(
    links=(_SHOULDER, _UPPER_ARM, _FOREARM, _WRIST_1, _WRIST_2, _WRIST_3),
    base=(Shape('cylinder', (0.09,), (0.0, 0.0, 0.0, 0.0, 0.0, 0.03), 'white'),),
    home=(0.0, -1.6, 2.0, -1.97, -pi / 2, 0.0),
    reach=0.85,
)
