"""Frames of ROS messages: `sensor_msgs/Image` and `sensor_msgs/CompressedImage`.

Reference:
    Encodings: https://docs.ros.org/en/noetic/api/sensor_msgs/html/image__encodings_8h_source.html
    Depth images: REP 118, https://www.ros.org/reps/rep-0118.html
"""

import io
import re
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from lipfault.errors import LipfaultError
from lipfault.importers.readers.source_base import COLOURS, listed
from lipfault.importers.source import Field

_JPEG, _PNG = b'\xff\xd8', b'\x89PNG'
_DEPTH_HEADER = 12  # bytes before the PNG of image transport `compressedDepth`
_MODES = {'1': 'L', 'L': 'L', 'P': 'RGB', 'RGB': 'RGB', 'RGBA': 'RGBA', 'LA': 'RGBA'}


@dataclass(frozen=True)
class _Encoding:
    """Layout of a pixel.

    Args:
        dtype: Type of a value.
        order: Place of red, green, blue and alpha, or of the only value, in a pixel.
    """

    dtype: str
    order: tuple[int, ...]


_ENCODINGS = {
    'mono8': _Encoding('uint8', (0,)),
    '8UC1': _Encoding('uint8', (0,)),
    'mono16': _Encoding('uint16', (0,)),
    '16UC1': _Encoding('uint16', (0,)),
    'rgb8': _Encoding('uint8', (0, 1, 2)),
    'bgr8': _Encoding('uint8', (2, 1, 0)),
    'rgba8': _Encoding('uint8', (0, 1, 2, 3)),
    'bgra8': _Encoding('uint8', (2, 1, 0, 3)),
    'rgb16': _Encoding('uint16', (0, 1, 2)),
    'bgr16': _Encoding('uint16', (2, 1, 0)),
}


def is_image(schema: str) -> bool:
    """Return whether messages of a type hold frames.

    Args:
        schema: Name of the type, such as `sensor_msgs/Image`.
    """
    return schema in ('sensor_msgs/Image', 'sensor_msgs/CompressedImage')


def image_field(name: str, schema: str, message: Any) -> Field:  # noqa: ANN401
    """Describe the frames of a topic from one message.

    Args:
        name: Name of the topic.
        schema: Name of the type.
        message: The decoded message.

    Returns:
        The field; depth in millimetres (16UC1) has the unit `mm`.

    Raises:
        LipfaultError: If the encoding is not read, or the frame is damaged.
    """
    frame = decode_image(schema, message)
    height, width, count = frame.shape
    stated = message.encoding if schema == 'sensor_msgs/Image' else message.format
    is_depth = count == 1 and str(stated).startswith('16UC1')
    return Field(
        name=name,
        kind='image',
        channels=('depth',) if is_depth else COLOURS[count],
        units=('mm',) if is_depth else ('',) * count,
        size=(height, width),
        dtype=frame.dtype.name,
    )


def decode_image(schema: str, message: Any) -> npt.NDArray[Any]:  # noqa: ANN401
    """Decode the frame of a message.

    Args:
        schema: Name of the type.
        message: The decoded message.

    Returns:
        Frame (height, width, channels) uint8 or uint16, with red before green before blue.

    Raises:
        LipfaultError: If the encoding is not read, or the frame is damaged.
    """
    return _raw(message) if schema == 'sensor_msgs/Image' else _compressed(message)


def _raw(message: Any) -> npt.NDArray[Any]:  # noqa: ANN401
    """Decode an uncompressed frame, whose rows may have bytes beyond their end."""
    encoding = _ENCODINGS.get(message.encoding)
    if encoding is None:
        raise LipfaultError(
            f'encoding {message.encoding!r} is not read; {listed(_ENCODINGS, quote=False)} are'
        )
    dtype = np.dtype(encoding.dtype).newbyteorder('>' if message.is_bigendian else '<')
    height, width, step = int(message.height), int(message.width), int(message.step)
    row = width * len(encoding.order) * dtype.itemsize
    data = np.frombuffer(memoryview(message.data), np.uint8)
    if height < 1 or width < 1 or step < row or len(data) < height * step - (step - row):
        raise LipfaultError(
            f'a frame of {height} x {width} {message.encoding} with step {step} holds '
            f'{len(data)} bytes'
        )
    if len(data) < height * step:  # without the bytes beyond the end of the last row
        data = np.concatenate([data, np.zeros(height * step - len(data), np.uint8)])
    rows = np.ascontiguousarray(data[: height * step].reshape(height, step)[:, :row])
    pixels = rows.view(dtype).reshape(height, width, len(encoding.order))
    if encoding.order[0] == 2:
        pixels = pixels[..., list(encoding.order)]
    return np.ascontiguousarray(pixels.astype(encoding.dtype, copy=False))


def _compressed(message: Any) -> npt.NDArray[Any]:  # noqa: ANN401
    """Decode a JPEG or PNG frame; image transport stores colours as these formats have them."""
    stated, data = str(message.format), bytes(message.data)
    if 'compressedDepth' in stated:
        if not stated.startswith('16UC1'):
            raise LipfaultError(f'format {stated!r} is not read; of depth 16UC1 with PNG is')
        data = data[_DEPTH_HEADER:]
    if not data.startswith((_JPEG, _PNG)):
        raise LipfaultError(f'format {stated!r} is not read; jpeg and png are')
    is_16_bit = data.startswith(_PNG) and data[24:25] == b'\x10'
    if is_16_bit and data[25:26] != b'\0':
        raise LipfaultError(f'format {stated!r}: 16 bits of colours in PNG are not read')
    try:
        with Image.open(io.BytesIO(data)) as image:
            if is_16_bit:
                return np.asarray(image).astype(np.uint16)[..., None]
            if image.mode not in _MODES:
                raise LipfaultError(f'format {stated!r}: colours {image.mode} are not read')
            frame = np.asarray(image.convert(_MODES[image.mode]))
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        # Pillow writes the address of the buffer into the message.
        reason = re.sub(r' <.*?>', '', str(error))
        raise LipfaultError(f'the {stated!r} frame is damaged: {reason}') from error
    return frame if frame.ndim == 3 else frame[..., None]
