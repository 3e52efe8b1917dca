"""Tables of the IRB 1600-8/1.45 of ABB.

Sources:
    - Dimensions, ranges and speeds of the axes: ABB, product specification of the IRB 1600, as
      tabulated by ROS-Industrial (irb1600_8_145),
      https://github.com/ros-industrial/abb_experimental
    - Weight 250 kg and payload 8 kg: ABB, data sheet of the IRB 1600.
"""

from math import pi, radians

from lipfault.cells.design import ArmDesign, Shape, links

# d (m), a (m), alpha (rad), offset (rad).
_FRAMES = (
    (0.4865, 0.15, -pi / 2, 0.0),  # column
    (0.0, 0.7, 0.0, -pi / 2),  # lower arm
    (0.0, 0.0, -pi / 2, 0.0),  # upper arm
    (0.6, 0.0, pi / 2, 0.0),  # forearm
    (0.0, 0.0, -pi / 2, 0.0),  # wrist
    (0.065, 0.0, 0.0, 0.0),  # flange
)

# Mass (kg), centre of mass (m), radii of gyration (m). Assumed: ABB publishes no masses of links.
# The 250 kg are divided by the volumes of the links, 99 kg of them for the fixed base; the radii
# are those of solid cylinders.
_MASSES = (
    (62.0, (-0.1, 0.12, 0.0), (0.16, 0.16, 0.14)),
    (34.0, (-0.35, 0.0, 0.05), (0.09, 0.23, 0.23)),
    (40.0, (0.02, 0.0, 0.08), (0.15, 0.15, 0.1)),
    (12.0, (0.0, -0.18, 0.0), (0.1, 0.1, 0.06)),
    (2.4, (0.0, 0.0, 0.02), (0.05, 0.05, 0.05)),
    (0.6, (0.0, 0.0, -0.02), (0.03, 0.03, 0.03)),
)

# Range (rad) and speed (rad/s) as published; torque (N m) assumed: what rated load and speed
# require, with a margin of two.
_LIMITS = (
    (-pi, pi, radians(180), 1000.0),
    (radians(-90), radians(120), radians(180), 1500.0),
    (radians(-245), radians(65), radians(200), 800.0),
    (radians(-200), radians(200), radians(400), 120.0),
    (radians(-115), radians(115), radians(400), 100.0),
    (radians(-400), radians(400), radians(460), 50.0),
)

# Rotor inertia (kg m²), viscous (N m s/rad) and Coulomb friction (N m). Assumed: of the order
# found in identifications of arms of this size.
_GEARS = (
    (15.0, 15.0, 12.0),
    (15.0, 15.0, 12.0),
    (8.0, 8.0, 8.0),
    (1.5, 1.5, 2.0),
    (0.8, 1.0, 1.5),
    (0.3, 0.5, 0.8),
)

# Radii and positions in m. Simplified, for the camera only: they neither collide nor weigh.
_SHAPES = (
    (
        Shape('cylinder', (0.2,), (0.0, 0.0, 0.2, 0.0, 0.0, 0.34), 'blue'),
        Shape('capsule', (0.15,), (0.05, 0.0, 0.34, 0.15, 0.0, 0.46), 'blue'),
        Shape('capsule', (0.13,), (0.15, -0.16, 0.4865, 0.15, 0.1, 0.4865), 'red'),
    ),
    (
        Shape('capsule', (0.11,), (0.0, 0.0, 0.06, 0.7, 0.0, 0.06), 'white'),
        Shape('capsule', (0.12,), (0.7, 0.0, -0.06, 0.7, 0.0, 0.1), 'orange'),
    ),
    (
        Shape('capsule', (0.1,), (0.02, -0.12, 0.0, 0.02, 0.3, 0.0), 'yellow'),
        Shape('box', (0.09, 0.1, 0.09), (0.15, -0.06, 0.02), 'green'),  # wire feeder
    ),
    (
        Shape('capsule', (0.075,), (0.0, 0.0, 0.3, 0.0, 0.0, 0.52), 'cyan'),
        Shape('box', (0.03, 0.085, 0.06), (0.07, 0.0, 0.42), 'magenta'),
    ),
    (Shape('capsule', (0.07,), (0.0, -0.05, 0.0, 0.0, 0.05, 0.0), 'green'),),
    (Shape('cylinder', (0.055,), (0.0, 0.0, 0.0, 0.0, 0.0, 0.065), 'white'),),
)

IRB1600 = ArmDesign(
    links=links(_FRAMES, _MASSES, _LIMITS, _GEARS, _SHAPES),
    base=(Shape('cylinder', (0.22,), (0.0, 0.0, 0.0, 0.0, 0.0, 0.2), 'grey'),),
    home=(0.0, 0.2, 0.2, 0.0, 1.0, 0.0),
    reach=1.45,
)
