"""Fixed colour camera of a cell: rendering, lens, sensor noise, quantization."""

from math import sqrt
from types import TracebackType
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from lipfault.cells.engine import load_mujoco
from lipfault.cells.look import Look
from lipfault.modality import Modality

CAMERA_HZ = 10.0
"""Frames per second of every camera, Hz."""

# Read noise of the sensor, grey levels of 255. Assumed.
_READ_NOISE = 0.6

# Variance of the shot noise per grey level: the total noise at mid grey (128) is
# sqrt(0.6² + 0.005 * 128) = 1 level. Assumed.
_SHOT_NOISE = 0.005

RGB555 = 5
"""Bits of each colour of the shipped recordings, an output format of embedded camera modules."""

# Mean grey level of the frames of a cell, of 255, for the noise of a camera.
_MEAN_LEVEL = 64.0


def noise_of(bits: int) -> float:
    """Return the standard deviation of a pixel's error, for frames of middle brightness.

    Args:
        bits: Bits of each colour.

    Returns:
        The deviation in [0, 1]: read noise, shot noise at grey level 64, and quantization.

    Example:
        >>> round(noise_of(8) * 255, 2), round(noise_of(5) * 255, 2)
        (0.87, 2.51)
    """
    step = 1 / (2**bits - 1)
    variance = (_READ_NOISE**2 + _SHOT_NOISE * _MEAN_LEVEL) / 255**2 + step**2 / 12
    return sqrt(variance)


def camera(size: int, noise: float, bits: int = RGB555) -> Modality:
    """Return the modality of a square camera.

    Args:
        size: Height and width of a frame, pixels.
        noise: Standard deviation of a recorded pixel's error, quantization included, in [0, 1].
        bits: Bits of each colour.

    Returns:
        The modality `camera`.
    """
    return Modality(
        name='camera', kind='image', rate_hz=CAMERA_HZ, channels=('red', 'green', 'blue'),
        units=('1',) * 3, low=(0.0,) * 3, high=(1.0,) * 3, noise=(noise,) * 3, size=(size, size),
        quantum=(1 / (2**bits - 1),) * 3,
    )  # fmt: skip


class Renderer:
    """Renderer of a scene, twice oversampled against aliasing; a context manager.

    Args:
        model: Compiled MuJoCo model with a camera named `camera`.
        size: Height and width of a frame, pixels.
    """

    def __init__(self, model: Any, size: int) -> None:  # noqa: ANN401
        """Open an OpenGL context for the model."""
        self._renderer = load_mujoco().Renderer(model, 2 * size, 2 * size)

    def __enter__(self) -> Self:
        """Return the renderer."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:  # fmt: skip
        """Close the OpenGL context."""
        self._renderer.close()

    def render(self, data: Any) -> npt.NDArray[np.float32]:  # noqa: ANN401
        """Render a noise-free frame.

        Args:
            data: State of the scene.

        Returns:
            (height, width, 3) float32 grey levels, 0 to 255.
        """
        self._renderer.update_scene(data, camera='camera')
        fine = self._renderer.render()
        half = fine.shape[0] // 2
        # (height, 2, width, 2, channel): mean over 2 x 2 pixels.
        frame: npt.NDArray[np.float32] = fine.reshape(half, 2, half, 2, 3).mean(
            axis=(1, 3), dtype=np.float32
        )
        return frame


def through_lens(frames: npt.NDArray[np.float32], look: Look) -> npt.NDArray[np.float32]:
    """Apply vignetting, exposure and white balance to noise-free frames.

    Args:
        frames: (frame, height, width, 3) float32 grey levels, 0 to 255.
        look: Appearance of the episode.

    Returns:
        Frames of the same shape and dtype, saturated at 255.
    """
    height, width = frames.shape[1:3]
    # Squared distance from the centre of the frame, 1 in its corners.
    y = (2 * (np.arange(height) + 0.5) / height - 1)[:, None] ** 2
    x = (2 * (np.arange(width) + 0.5) / width - 1)[None, :] ** 2
    falloff = look.exposure * (1 - look.vignetting * (x + y) / 2)
    gain = falloff[..., None] * np.array([look.gains[0], 1.0, look.gains[1]])
    exposed: npt.NDArray[np.float32] = np.clip(frames * gain, 0, 255).astype(np.float32)
    return exposed


def expose(
    frame: npt.NDArray[np.float32], random: np.random.Generator, bits: int = RGB555
) -> npt.NDArray[np.uint8]:
    """Simulate the exposure of frames: shot and read noise, then quantization.

    Args:
        frame: (..., 3) float32 noise-free grey levels, 0 to 255.
        random: Generator of the noise.
        bits: Bits of each colour.

    Returns:
        (..., 3) uint8 recorded frames.

    Reference:
        Foi, Trimeche, Katkovnik and Egiazarian, "Practical Poissonian-Gaussian noise modeling and
        fitting for single-image raw-data", IEEE Transactions on Image Processing 2008,
        https://doi.org/10.1109/TIP.2008.2001399 (variance linear in the signal).

    Example:
        >>> expose(np.full((1, 3), 255.0, np.float32), np.random.default_rng(0)).tolist()
        [[255, 255, 255]]
    """
    deviation = np.sqrt(_READ_NOISE**2 + _SHOT_NOISE * frame)
    noisy = frame + deviation * random.standard_normal(frame.shape, dtype=np.float32)
    highest = np.float32(2**bits - 1)
    coarse = np.round(np.clip(noisy, 0, 255) / 255 * highest)
    recorded: npt.NDArray[np.uint8] = np.round(coarse / highest * 255).astype(np.uint8)
    return recorded
