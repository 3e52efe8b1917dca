"""Tables of the UR5 (CB3) of Universal Robots.

Sources:
    - Denavit-Hartenberg parameters, masses, centres of mass: Universal Robots, "DH Parameters for
      calculations of kinematics and dynamics",
      https://www.universal-robots.com/articles/ur/application-installation/dh-parameters-for-calculations-of-kinematics-and-dynamics/
    - Joint torques: Universal Robots, "Max. joint torques" (150 N m for joint size 3, 28 N m for
      size 1), https://www.universal-robots.com/articles/
    - Range ±360°, speed 180°/s, payload 5 kg, reach 850 mm: UR5 technical specification.
"""

from math import pi

from lipfault.cells.design import ArmDesign, Shape, links

_TURN = 2 * pi  # ±360°, rad
_SPEED = pi  # 180°/s, rad/s

# d (m), a (m), alpha (rad), offset (rad), as published.
_FRAMES = (
    (0.089159, 0.0, pi / 2, 0.0),  # shoulder
    (0.0, -0.425, 0.0, 0.0),  # upper arm
    (0.0, -0.39225, 0.0, 0.0),  # forearm
    (0.10915, 0.0, pi / 2, 0.0),  # wrist 1
    (0.09465, 0.0, -pi / 2, 0.0),  # wrist 2
    (0.0823, 0.0, 0.0, 0.0),  # wrist 3
)

# Mass (kg) and centre of mass (m) as published; radii of gyration (m) of solid cylinders of the
# link's size, since no inertia tensors are published.
_MASSES = (
    (3.7, (0.0, -0.02561, 0.00193), (0.053, 0.053, 0.042)),
    (8.393, (0.2125, 0.0, 0.11336), (0.042, 0.126, 0.126)),
    (2.33, (0.15, 0.0, 0.0265), (0.034, 0.117, 0.117)),
    (1.219, (0.0, -0.0018, 0.01634), (0.043, 0.043, 0.042)),
    (1.219, (0.0, 0.0018, 0.01634), (0.043, 0.043, 0.042)),
    (0.1879, (0.0, 0.0, -0.001159), (0.026, 0.026, 0.027)),
)

# Range (rad), speed (rad/s), torque (N m) of joint sizes 3 and 1.
_SIZE_3 = (-_TURN, _TURN, _SPEED, 150.0)
_SIZE_1 = (-_TURN, _TURN, _SPEED, 28.0)

# Rotor inertia (kg m²), viscous (N m s/rad) and Coulomb friction (N m). Assumed: not published by
# the maker; of the order found in identifications of arms of this size.
_GEAR_3 = (0.4, 3.0, 2.0)
_GEAR_1 = (0.1, 0.6, 0.4)

# Radii and positions in m. Simplified, for the camera only: they neither collide nor weigh.
_SHAPES = (
    (
        Shape('capsule', (0.075,), (0.0, 0.0, 0.02, 0.0, 0.0, 0.1), 'blue'),
        Shape('capsule', (0.07,), (0.0, 0.0, 0.089, 0.0, -0.1, 0.089), 'blue'),
    ),
    (
        Shape('capsule', (0.075,), (0.0, 0.0, 0.08, 0.0, 0.0, 0.15), 'orange'),
        Shape('capsule', (0.065,), (0.0, 0.0, 0.13, -0.425, 0.0, 0.13), 'white'),
        Shape('capsule', (0.072,), (-0.425, 0.0, 0.06, -0.425, 0.0, 0.15), 'orange'),
    ),
    (
        Shape('capsule', (0.055,), (0.0, 0.0, 0.02, -0.392, 0.0, 0.02), 'yellow'),
        Shape('sphere', (0.062,), (-0.2, 0.0, 0.02), 'red'),  # coloured band
    ),
    (Shape('capsule', (0.052,), (0.0, 0.0, -0.01, 0.0, 0.0, 0.11), 'green'),),
    (Shape('capsule', (0.05,), (0.0, 0.0, 0.0, 0.0, 0.0, 0.1), 'magenta'),),
    (Shape('cylinder', (0.045,), (0.0, 0.0, 0.04, 0.0, 0.0, 0.082), 'white'),),
)

UR5 = ArmDesign(
    links=links(
        _FRAMES, _MASSES, [_SIZE_3] * 3 + [_SIZE_1] * 3, [_GEAR_3] * 3 + [_GEAR_1] * 3, _SHAPES
    ),
    base=(Shape('cylinder', (0.09,), (0.0, 0.0, 0.0, 0.0, 0.0, 0.03), 'white'),),
    home=(0.0, -1.6, 2.0, -1.97, -pi / 2, 0.0),
    reach=0.85,
)
