"""Compile a scene with the appearance of an episode."""

import xml.etree.ElementTree as ET
from collections.abc import Sequence
from math import cos, sin, sqrt, tan
from typing import Any

import numpy as np
import numpy.typing as npt

from lipfault.cells.design import Shape
from lipfault.cells.engine import load_mujoco
from lipfault.cells.look import LAID, Look, blend
from lipfault.cells.scene import add_shape, numbers, section

Array = npt.NDArray[np.float64]

# Emission of a material in the shipped recordings, see `new_scene`.
_EMISSION = 0.95

# Ambient and diffuse light at contrast 1 and intensity 1: a face towards the light is about as
# bright as in the shipped recordings.
_AMBIENT, _DIFFUSE = 0.45, 0.65

# Height and width of a texture, texels; sizes of its random grids, cells along x and y.
_TEXELS = 128
_GRIDS = ((4, 8), (8, 32), (32, 64))

# Depth of the strip behind the reach of the arms in which objects are placed, m.
_STRIP = 2.0


def compile_scene(root: ET.Element, look: Look | None, reach: float) -> Any:  # noqa: ANN401
    """Compile a scene; bodies, joints, contacts and dynamics do not depend on the appearance.

    Args:
        root: The scene; changed in place if an appearance is given.
        look: Appearance of the episode; `None` for that of the shipped recordings.
        reach: Largest distance of a tool from the base of its arm, m.

    Returns:
        The compiled MuJoCo model.
    """
    if look is not None:
        _light(root, look)
        _turn_camera(root, look)
        _paint(root, look)
        _add_clutter(root, look, reach)
    model = load_mujoco().MjModel.from_xml_string(ET.tostring(root, encoding='unicode'))
    if look is not None:
        _weave(model, look)
    return model


def _light(root: ET.Element, look: Look) -> None:
    """Set the direction and the colours of the light."""
    light = _found(root, './/light')
    level = cos(look.elevation)
    towards = (level * cos(look.azimuth), level * sin(look.azimuth), sin(look.elevation))
    light.set('dir', numbers(-part for part in towards))
    light.set('diffuse', numbers(0.03 + look.contrast * _DIFFUSE * part for part in look.light))
    ambient = numbers(0.035 + look.contrast * _AMBIENT * part for part in look.light)
    _found(root, 'visual/headlight').set('ambient', ambient)


def _turn_camera(root: ET.Element, look: Look) -> None:
    """Move and turn the camera."""
    camera = _found(root, './/camera')
    eye = _values(camera, 'pos') + look.camera_shift
    axes = _camera_frame(camera) @ _rotation(look.camera_turn)
    camera.set('pos', numbers(eye.tolist()))
    camera.set('xyaxes', numbers([*axes[:, 0].tolist(), *axes[:, 1].tolist()]))


def _paint(root: ET.Element, look: Look) -> None:
    """Set colours and shading of all materials but arcs; give the laid ones a texture."""
    asset = section(root, 'asset')
    for material in asset.findall('material'):
        name, rgb = material.get('name', ''), _values(material, 'rgba')
        # An arc is a source of light: its material emits at 1.
        if material.get('emission') == '1':
            continue
        material.set('emission', numbers([_EMISSION * (1 - look.contrast)]))
        colour = blend(look, name, (float(rgb[0]), float(rgb[1]), float(rgb[2])))
        material.set('rgba', numbers((*colour, float(rgb[3]))))
        if name in LAID:
            ET.SubElement(
                asset, 'texture', name=name, type='2d', builtin='flat', rgb1='1 1 1',
                width=str(_TEXELS), height=str(_TEXELS),
            )  # fmt: skip
            repeat = numbers([look.grain[1]] * 2)
            material.attrib |= {'texture': name, 'texrepeat': repeat, 'texuniform': 'true'}
    top, horizon = ([look.variety * part for part in rgb] for rgb in look.sky)
    ET.SubElement(
        asset, 'texture', type='skybox', builtin='gradient', rgb1=numbers(top),
        rgb2=numbers(horizon), width='64', height='384',
    )  # fmt: skip


def _weave(model: Any, look: Look) -> None:  # noqa: ANN401
    """Write the textures into the compiled model."""
    random = np.random.default_rng(look.texture_seed)
    for name in LAID:
        pattern = 1 - look.grain[0] * _pattern(random)
        texels = np.repeat(np.round(255 * pattern).astype(np.uint8)[..., None], 3, axis=2)
        start = int(model.tex_adr[model.texture(name).id])
        model.tex_data[start : start + texels.size] = texels.ravel()


def _pattern(random: np.random.Generator) -> Array:
    """Draw a (texel, texel) pattern in [0, 1]: value noise of three scales, longer along y."""
    total: Array = np.zeros((_TEXELS, _TEXELS))
    for octave, (rows, columns) in enumerate(_GRIDS):
        grid = random.random((rows, columns))
        along = _periodic(grid, axis=0)
        total += 0.5**octave * _periodic(along, axis=1)
    low, high = total.min(), total.max()
    scaled: Array = (total - low) / (high - low)
    return scaled


def _periodic(grid: Array, axis: int) -> Array:
    """Interpolate one axis of a grid linearly to the number of texels, without a seam."""
    count = grid.shape[axis]
    places = np.arange(_TEXELS) * count / _TEXELS
    low = places.astype(int)
    share = (places - low).reshape((-1, 1) if axis == 0 else (1, -1))
    before, after = np.take(grid, low, axis), np.take(grid, (low + 1) % count, axis)
    mixed: Array = before + share * (after - before)
    return mixed


def _add_clutter(root: ET.Element, look: Look, reach: float) -> None:
    """Place objects on the floor in view of the camera, out of reach of all arms."""
    world, asset = section(root, 'worldbody'), section(root, 'asset')
    camera = _found(root, './/camera')
    floor = _found(world, "geom[@material='floor']")
    ground = float(_values(floor, 'pos')[2] + _values(floor, 'size')[2])
    bases = [_values(body, 'pos')[:2] for body in world.findall('body')
             if body.get('name', '').endswith('_base')]  # fmt: skip
    for index, draws in enumerate(look.clutter.tolist()):
        radius, tall = 0.06 + 0.2 * draws[0], 0.3 + 1.3 * draws[1]
        spot = _spot(camera, draws, [(base, reach + radius) for base in bases])
        name = f'clutter{index}'
        colour = (0.1 + 0.7 * part for part in draws[5:8])
        ET.SubElement(
            asset, 'material', name=name, rgba=numbers((*colour, 1.0)), specular='0',
            emission=numbers([_EMISSION * (1 - look.contrast)]),
        )  # fmt: skip
        add_shape(world, _object(draws[2], radius, tall, (*spot, ground), name), name=name)


def _object(kind: float, radius: float, tall: float, foot: Sequence[float], name: str) -> Shape:
    """Return a standing box, cylinder or capsule by a number in [0, 1)."""
    x, y, ground = foot
    if kind < 1 / 3:
        half = (radius, 0.6 * radius, tall / 2)
        return Shape('box', half, (x, y, ground + tall / 2), name)
    return Shape('cylinder' if kind < 2 / 3 else 'capsule', (radius,),
                 (x, y, ground, x, y, ground + tall), name)  # fmt: skip


def _spot(camera: ET.Element, draws: Sequence[float], kept: Sequence[tuple[Array, float]]) -> Array:
    """Return a place (2,) on a line of sight, behind and outside of circles (centre, radius)."""
    eye, frame = _values(camera, 'pos')[:2], _camera_frame(camera)
    ahead = -frame[:2, 2] / np.linalg.norm(frame[:2, 2])
    side = tan(np.deg2rad(float(_values(camera, 'fovy')[0])) / 2) * (2 * draws[3] - 1)
    ray = ahead + side * np.array([ahead[1], -ahead[0]])
    near = max(_leaving(eye, ray, centre, radius) for centre, radius in kept)
    spot: Array = eye + (near + draws[4] * _STRIP) * ray
    return spot


def _leaving(eye: Array, ray: Array, centre: Array, radius: float) -> float:
    """Return the number of rays from the eye to the point where a line leaves a circle.

    For a line that misses the circle, it is the point nearest to the circle's centre.
    """
    square, middle = float(ray @ ray), float((centre - eye) @ ray)
    distance = centre - eye
    root = middle**2 - square * (float(distance @ distance) - radius**2)
    return (middle + sqrt(max(0.0, root))) / square


def _camera_frame(camera: ET.Element) -> Array:
    """Return the axes (3, 3) of a camera as columns; it looks along its negative z axis."""
    x, y = _values(camera, 'xyaxes').reshape(2, 3)
    return np.stack([x, y, np.cross(x, y)], axis=1)


def _rotation(turn: Sequence[float]) -> Array:
    """Return the rotation (3, 3) about x, then y, then z, rad."""
    product: Array = np.eye(3)
    for axis, angle in enumerate(turn):
        i, j = (axis + 1) % 3, (axis + 2) % 3
        step = np.eye(3)
        step[i, i] = step[j, j] = cos(angle)
        step[i, j], step[j, i] = -sin(angle), sin(angle)
        product = product @ step
    return product


def _found(root: ET.Element, path: str) -> ET.Element:
    """Return the first element of a path."""
    found = root.find(path)
    if found is None:
        raise ValueError(f'the scene has no element {path!r}')
    return found


def _values(element: ET.Element, key: str) -> Array:
    """Return the numbers of an attribute."""
    return np.array([float(part) for part in element.get(key, '').split()])
