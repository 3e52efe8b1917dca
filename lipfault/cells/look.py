"""Appearance of a cell in one episode: light, materials, clutter, camera pose and exposure."""

import colorsys
from collections.abc import Iterable
from dataclasses import dataclass, field
from math import exp, pi

import numpy as np
import numpy.typing as npt

from lipfault.cells.design import Vector
from lipfault.errors import LipfaultError

LAID = ('floor', 'table')
"""Materials that get a texture and any dull colour."""

LOOSE = ('steel', 'carton', 'brick', 'slate')
"""Materials of boxes and work pieces: dull colours of middle brightness, no texture."""

CLUTTER = 8
"""Largest number of objects beside the robot."""

CAMERA_SHIFT_M = 0.04
"""Largest displacement of the camera along each axis of the world at variety 1, m."""

CAMERA_AIM_RAD, CAMERA_ROLL_RAD = 0.03, 0.04
"""Largest rotation of the camera at variety 1: about its x and y axes, and its line of sight."""

VIGNETTING = 0.35
"""Largest loss of light in the corners of a frame at variety 1, a share."""

# Ratios of the largest to the middle value at variety 1.
_EXPOSURE, _GAIN, _INTENSITY, _KELVIN = 1.3, 1.15, 1.25, 1.5

# Direct sunlight, K: at this temperature the light is white.
_SUN_K = 5500.0

# Second radiation constant, nm K, and dominant wavelengths of the primaries of sRGB, nm.
_RADIATION = 1.4388e7
_WAVELENGTHS = (612.0, 549.0, 464.0)


@dataclass(frozen=True)
class Look:
    """Appearance of a cell in one episode.

    Args:
        variety: Scale of the ranges from which the other values were drawn, above 0 to 1.
        azimuth: Direction towards the light in the horizontal plane, rad.
        elevation: Angle of the light above the horizon, rad.
        kelvin: Colour temperature of the light, K.
        intensity: Brightness of the light, 1 in the middle of its range.
        contrast: Share of the brightness of a face that depends on the light, in [0, 1].
        colours: (red, green, blue) in [0, 1] of each drawn material by name.
        grain: Depth of the textures in [0, 1], and their repetitions in a metre.
        texture_seed: Seed of the textures.
        sky: Colours of the background at its top and at the horizon, in [0, 1].
        clutter: (object, 8) uniform numbers in [0, 1) from which objects are placed.
        camera_shift: Displacement of the camera (x, y, z), m, world frame.
        camera_turn: Rotation of the camera about its axes x, y and z, rad.
        exposure: Brightness of the frame, 1 in the middle of its range.
        gains: White balance: gain of red and of blue.
        vignetting: Share of the light that is lost in the corners of the frame.
    """

    variety: float
    azimuth: float
    elevation: float
    kelvin: float
    intensity: float
    contrast: float
    colours: dict[str, Vector]
    grain: tuple[float, float]
    texture_seed: int
    sky: tuple[Vector, Vector]
    clutter: npt.NDArray[np.float64] = field(repr=False)
    camera_shift: Vector
    camera_turn: Vector
    exposure: float
    gains: tuple[float, float]
    vignetting: float

    @property
    def light(self) -> Vector:
        """Return the (red, green, blue) of the light, 1 for white light of intensity 1.

        The spectrum is a black body's, in Wien's approximation of Planck's law, relative to 5500 K
        and to green.
        """
        away = 1 / self.kelvin - 1 / _SUN_K
        red, green, blue = (exp(-_RADIATION / length * away) for length in _WAVELENGTHS)
        return self.intensity * red / green, self.intensity, self.intensity * blue / green

    @property
    def parameters(self) -> dict[str, float | str]:
        """Return the drawn values by name, for the parameters of the episode."""
        shift = {f'look_camera_{axis}_m': self.camera_shift[i] for i, axis in enumerate('xyz')}
        turn = dict(zip(_TURNS, self.camera_turn, strict=True))
        colours = {f'look_{name}_rgb': _hex(rgb) for name, rgb in self.colours.items()}
        return {
            'look_variety': self.variety,
            'look_light_azimuth_rad': self.azimuth, 'look_light_elevation_rad': self.elevation,
            'look_light_k': self.kelvin, 'look_light_intensity': self.intensity,
            'look_contrast': self.contrast, 'look_grain': self.grain[0],
            'look_grain_per_m': self.grain[1], 'look_clutter': float(len(self.clutter)),
            'look_exposure': self.exposure, 'look_gain_red': self.gains[0],
            'look_gain_blue': self.gains[1], 'look_vignetting': self.vignetting,
            **shift, **turn, **colours,
        }  # fmt: skip


_TURNS = ('look_camera_pitch_rad', 'look_camera_yaw_rad', 'look_camera_roll_rad')


def require_variety(variety: float) -> None:
    """Reject a variety outside [0, 1].

    Args:
        variety: The setting.

    Raises:
        LipfaultError: If it is negative, above 1 or NaN.
    """
    if not 0 <= variety <= 1:
        raise LipfaultError(
            f'variety must be 0 (the look of the shipped recordings) to 1, got {variety}'
        )


def draw_look(random: np.random.Generator, variety: float) -> Look | None:
    """Draw the appearance of an episode.

    The generator draws the same numbers for each variety; `variety` scales the ranges.

    Args:
        random: Generator of the episode's appearance.
        variety: Scale of the ranges, 0 to 1.

    Returns:
        The appearance; `None` at variety 0, for the look of the shipped recordings.

    Raises:
        LipfaultError: If the variety is out of its range.
    """
    require_variety(variety)
    if variety == 0:
        return None
    # In [-1, 1) around the middle of a range; in [0, 1) from its lower end.
    signed = (variety * random.uniform(-1, 1, size=16)).tolist()
    share = random.random(4)
    hues = random.random((len(LAID) + len(LOOSE) + 2, 3))
    colours = {name: _dull(row, 0.5, (0.08, 0.7)) for name, row in zip(LAID, hues, strict=False)}
    colours |= {
        name: _dull(row, 0.35, (0.2, 0.55))
        for name, row in zip(LOOSE, hues[len(LAID) :], strict=False)
    }
    sky = (_dull(hues[-2], 0.4, (0.0, 0.8)), _dull(hues[-1], 0.4, (0.0, 0.8)))
    objects = random.random((CLUTTER, 8))
    return Look(
        variety=variety,
        # Variety 0 would be the direction of the shipped recordings' faint light.
        azimuth=-0.54 + pi * signed[0], elevation=1.0 + 0.4 * signed[1],
        kelvin=_SUN_K * _KELVIN ** signed[2], intensity=_INTENSITY ** signed[3],
        contrast=variety * (0.35 + 0.4 * float(share[0])), colours=colours,
        grain=(variety * (0.2 + 0.5 * float(share[1])), 0.5 + 2.5 * float(share[2])),
        texture_seed=int(random.integers(2**31)), sky=sky,
        clutter=objects[: round(variety * (3 + (CLUTTER - 3) * float(share[3])))],
        camera_shift=_vector(CAMERA_SHIFT_M * value for value in signed[4:7]),
        camera_turn=(
            CAMERA_AIM_RAD * signed[7], CAMERA_AIM_RAD * signed[8], CAMERA_ROLL_RAD * signed[9]
        ),
        exposure=_EXPOSURE ** signed[10], gains=(_GAIN ** signed[11], _GAIN ** signed[12]),
        vignetting=VIGNETTING * abs(signed[13]),
    )  # fmt: skip


def blend(look: Look, name: str, shipped: Vector) -> Vector:
    """Return the colour of a material between its shipped and its drawn one.

    Args:
        look: The appearance.
        name: Name of the material.
        shipped: Colour at variety 0, in [0, 1].

    Returns:
        (red, green, blue) in [0, 1]; the shipped colour if none is drawn for the material.
    """
    drawn = look.colours.get(name, shipped)
    pairs = zip(shipped, drawn, strict=True)
    return _vector(a + look.variety * (b - a) for a, b in pairs)


def _dull(draws: npt.NDArray[np.float64], most: float, limits: tuple[float, float]) -> Vector:
    """Return a colour from three numbers in [0, 1): saturation up to `most`, value in `limits`."""
    (hue, saturation, value), (low, high) = _vector(draws), limits
    return colorsys.hsv_to_rgb(hue, most * saturation, low + (high - low) * value)


def _vector(values: Iterable[float]) -> Vector:
    """Return three numbers as a tuple of floats."""
    x, y, z = (float(value) for value in values)
    return x, y, z


def _hex(rgb: Vector) -> str:
    """Return a colour as `#rrggbb`."""
    return '#' + ''.join(f'{round(255 * part):02x}' for part in rgb)
