"""Description of a robot arm: Denavit-Hartenberg rows with masses, limits and simple shapes."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

Vector = tuple[float, float, float]

# Rows of the tables from which `links` builds an arm, one row per joint.
FrameRow = tuple[float, float, float, float]
MassRow = tuple[float, Vector, Vector]
LimitRow = tuple[float, float, float, float]
GearRow = tuple[float, float, float]


@dataclass(frozen=True)
class Shape:
    """A primitive body part in the frame of its link.

    Args:
        kind: MuJoCo primitive.
        size: Capsule, cylinder and sphere (radius,); box (half x, half y, half z); metres.
        at: Box and sphere: centre (x, y, z). Capsule and cylinder: both ends, six coordinates;
            metres.
        colour: Name of one of the scene's colours.
    """

    kind: Literal['capsule', 'cylinder', 'box', 'sphere']
    size: tuple[float, ...]
    at: tuple[float, ...]
    colour: str


@dataclass(frozen=True)
class Link:
    """A revolute joint and the link that it moves.

    The frame of a shape is the joint's: its z is the axis of rotation, and it turns with the
    joint. The next joint's frame follows by Tz(d) Tx(a) Rx(alpha), the standard
    Denavit-Hartenberg convention.

    Args:
        d: Offset along the joint's axis, m.
        a: Length of the link, m.
        alpha: Twist of the link, rad.
        offset: Joint angle at which the joint reads zero, rad.
        mass: Mass of the link, kg.
        com: Centre of mass in the link's Denavit-Hartenberg frame (behind d, a and alpha), m.
        gyration: Radii of gyration about the axes through the centre of mass, m.
        low: Smallest joint angle, rad.
        high: Largest joint angle, rad.
        speed: Largest joint speed, rad/s.
        torque: Largest joint torque, N m.
        armature: Rotor inertia reflected to the joint, kg m².
        damping: Viscous friction, N m s/rad.
        friction: Coulomb friction, N m.
        shapes: Visible shapes of the link.

    Reference:
        Denavit and Hartenberg, "A kinematic notation for lower-pair mechanisms based on matrices",
        Journal of Applied Mechanics 1955, https://doi.org/10.1115/1.4011045.
    """

    d: float
    a: float
    alpha: float
    offset: float
    mass: float
    com: Vector
    gyration: Vector
    low: float
    high: float
    speed: float
    torque: float
    armature: float
    damping: float
    friction: float
    shapes: tuple[Shape, ...] = ()


@dataclass(frozen=True)
class ArmDesign:
    """An arm from base to flange.

    Args:
        links: The moving links, base first.
        base: Shapes of the fixed base, in the base frame.
        home: Joint angles of a posture well inside the workspace, elbow up, tool down, rad.
        reach: Largest distance of the flange from the base's axis, m.
    """

    links: tuple[Link, ...]
    base: tuple[Shape, ...]
    home: tuple[float, ...]
    reach: float


def links(
    frames: Iterable[FrameRow],
    masses: Iterable[MassRow],
    limits: Iterable[LimitRow],
    gears: Iterable[GearRow],
    shapes: Iterable[tuple[Shape, ...]],
) -> tuple[Link, ...]:
    """Build the links of an arm from tables with one row per joint, base first.

    Args:
        frames: Denavit-Hartenberg rows: d (m), a (m), alpha (rad), offset (rad).
        masses: Mass (kg), centre of mass (m), radii of gyration (m).
        limits: Smallest and largest angle (rad), speed (rad/s), torque (N m).
        gears: Rotor inertia (kg m²), viscous friction (N m s/rad), Coulomb friction (N m).
        shapes: Visible shapes.

    Returns:
        The links.
    """
    rows = zip(frames, masses, limits, gears, shapes, strict=True)
    # The fields of `Link` are in the order of the tables.
    return tuple(
        Link(*frame, *mass, *limit, *gear, visible) for frame, mass, limit, gear, visible in rows
    )
