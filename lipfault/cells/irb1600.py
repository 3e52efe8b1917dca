"""The IRB 1600-8/1.45 of ABB as tables.

Sources: dimensions, ranges and speeds of the axes as in ABB's product specification of the IRB
1600 and as tabled by ROS-Industrial (abb_experimental, irb1600_8_145); weight 250 kg and payload
8 kg from ABB's data sheet. ABB publishes neither the masses of the links nor the axes' torques:
the 250 kg are shared out by the links' volumes (99 kg of them in the base, which does not move),
radii of gyration are those of solid cylinders, and the torques are what rated load and speed take,
with a margin of two. Rotor inertia and friction are of the order found in published
identifications of arms of this size.
"""

from math import pi, radians

from lipfault.cells.design import ArmDesign, Link, Shape

_COLUMN = Link(
    d=0.4865,
    a=0.15,
    alpha=-pi / 2,
    offset=0.0,
    mass=62.0,
    com=(-0.1, 0.12, 0.0),
    gyration=(0.16, 0.16, 0.14),
    low=-pi,
    high=pi,
    speed=radians(180),
    torque=1000.0,
    armature=15.0,
    damping=15.0,
    friction=12.0,
    shapes=(
        Shape('cylinder', (0.2,), (0.0, 0.0, 0.2, 0.0, 0.0, 0.34), 'blue'),
        Shape('capsule', (0.15,), (0.05, 0.0, 0.34, 0.15, 0.0, 0.46), 'blue'),
        Shape('capsule', (0.13,), (0.15, -0.16, 0.4865, 0.15, 0.1, 0.4865), 'red'),
    ),
)
_LOWER_ARM = Link(
    d=0.0,
    a=0.7,
    alpha=0.0,
    offset=-pi / 2,
    mass=34.0,
    com=(-0.35, 0.0, 0.05),
    gyration=(0.09, 0.23, 0.23),
    low=radians(-90),
    high=radians(120),
    speed=radians(180),
    torque=1500.0,
    armature=15.0,
    damping=15.0,
    friction=12.0,
    shapes=(
        Shape('capsule', (0.11,), (0.0, 0.0, 0.06, 0.7, 0.0, 0.06), 'white'),
        Shape('capsule', (0.12,), (0.7, 0.0, -0.06, 0.7, 0.0, 0.1), 'orange'),
    ),
)
_UPPER_ARM = Link(
    d=0.0,
    a=0.0,
    alpha=-pi / 2,
    offset=0.0,
    mass=40.0,
    com=(0.02, 0.0, 0.08),
    gyration=(0.15, 0.15, 0.1),
    low=radians(-245),
    high=radians(65),
    speed=radians(200),
    torque=800.0,
    armature=8.0,
    damping=8.0,
    friction=8.0,
    shapes=(
        Shape('capsule', (0.1,), (0.02, -0.12, 0.0, 0.02, 0.3, 0.0), 'yellow'),
        Shape('box', (0.09, 0.1, 0.09), (0.15, -0.06, 0.02), 'green'),  # wire feeder
    ),
)
_FOREARM = Link(
    d=0.6,
    a=0.0,
    alpha=pi / 2,
    offset=0.0,
    mass=12.0,
    com=(0.0, -0.18, 0.0),
    gyration=(0.1, 0.1, 0.06),
    low=radians(-200),
    high=radians(200),
    speed=radians(400),
    torque=120.0,
    armature=1.5,
    damping=1.5,
    friction=2.0,
    shapes=(
        Shape('capsule', (0.075,), (0.0, 0.0, 0.3, 0.0, 0.0, 0.52), 'cyan'),
        Shape('box', (0.03, 0.085, 0.06), (0.07, 0.0, 0.42), 'magenta'),
    ),
)
_WRIST = Link(
    d=0.0,
    a=0.0,
    alpha=-pi / 2,
    offset=0.0,
    mass=2.4,
    com=(0.0, 0.0, 0.02),
    gyration=(0.05, 0.05, 0.05),
    low=radians(-115),
    high=radians(115),
    speed=radians(400),
    torque=100.0,
    armature=0.8,
    damping=1.0,
    friction=1.5,
    shapes=(Shape('capsule', (0.07,), (0.0, -0.05, 0.0, 0.0, 0.05, 0.0), 'green'),),
)
_FLANGE = Link(
    d=0.065,
    a=0.0,
    alpha=0.0,
    offset=0.0,
    mass=0.6,
    com=(0.0, 0.0, -0.02),
    gyration=(0.03, 0.03, 0.03),
    low=radians(-400),
    high=radians(400),
    speed=radians(460),
    torque=50.0,
    armature=0.3,
    damping=0.5,
    friction=0.8,
    shapes=(Shape('cylinder', (0.055,), (0.0, 0.0, 0.0, 0.0, 0.0, 0.065), 'white'),),
)

IRB1600 = ArmDesign(
    links=(_COLUMN, _LOWER_ARM, _UPPER_ARM, _FOREARM, _WRIST, _FLANGE),
    base=(Shape('cylinder', (0.22,), (0.0, 0.0, 0.0, 0.0, 0.0, 0.2), 'grey'),),
    home=(0.0, 0.2, 0.2, 0.0, 1.0, 0.0),
    reach=1.45,
)
