"""The fixed colour camera of a cell: rendering, sensor noise, 15-bit colour."""

from types import TracebackType
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from lipfault.cells.engine import load_mujoco
from lipfault.modality import Modality

CAMERA_HZ = 10.0
"""Frames per second of every camera, Hz."""

_READ_NOISE = 0.6
"""Read noise of the sensor, grey levels of 255."""
_SHOT_NOISE = 0.005
"""Variance of the shot noise per grey level, so that the noise at mid grey is 1 level."""
_BITS = (5, 5, 5)
"""Bits of red, green and blue: RGB555, a usual output of embedded camera modules."""


def camera(size: int, noise: float) -> Modality:
    """The modality of a square camera.

    Args:
        size: Height and width of a picture, pixels.
        noise: Standard deviation of a recorded pixel's error, quantization included, in [0, 1].
    """
    return Modality(
        name='camera', kind='image', rate_hz=CAMERA_HZ, channels=('red', 'green', 'blue'),
        units=('1',) * 3, low=(0.0,) * 3, high=(1.0,) * 3, noise=(noise,) * 3, size=(size, size),
    )  # fmt: skip


class Renderer:
    """Pictures of a scene, twice oversampled against jagged edges; a context manager.

    Args:
        model: Compiled MuJoCo model with a camera named `camera`.
        size: Height and width of a picture, pixels.
    """

    def __init__(self, model: Any, size: int) -> None:  # noqa: ANN401
        """Open an OpenGL context for the model."""
        self._renderer = load_mujoco().Renderer(model, 2 * size, 2 * size)

    def __enter__(self) -> Self:
        """The renderer itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:  # fmt: skip
        """Close the OpenGL context."""
        self._renderer.close()

    def render(self, data: Any) -> npt.NDArray[np.float32]:  # noqa: ANN401
        """Noise-free picture (height, width, 3) in grey levels, 0 to 255."""
        self._renderer.update_scene(data, camera='camera')
        fine = self._renderer.render()
        half = fine.shape[0] // 2
        picture: npt.NDArray[np.float32] = fine.reshape(half, 2, half, 2, 3).mean(
            axis=(1, 3), dtype=np.float32
        )
        return picture


def expose(picture: npt.NDArray[np.float32], random: np.random.Generator) -> npt.NDArray[np.uint8]:
    """Recorded picture, uint8, of noise-free grey levels: shot and read noise, then RGB555.

    Args:
        picture: (..., 3) grey levels, 0 to 255.
        random: Source of the noise.

    Example:
        >>> expose(np.full((1, 3), 255.0, np.float32), np.random.default_rng(0)).tolist()
        [[255, 255, 255]]
    """
    deviation = np.sqrt(_READ_NOISE**2 + _SHOT_NOISE * picture)
    noisy = picture + deviation * random.standard_normal(picture.shape, dtype=np.float32)
    levels = np.array([2**bits - 1 for bits in _BITS], dtype=np.float32)
    coarse = np.round(np.clip(noisy, 0, 255) / 255 * levels)
    recorded: npt.NDArray[np.uint8] = np.round(coarse / levels * 255).astype(np.uint8)
    return recorded
