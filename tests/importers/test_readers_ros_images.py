"""Frames of ROS messages: every encoding against an independent layout, and damaged frames."""

from pathlib import Path

import numpy as np
import pytest
from bags import START, header, image, jpeg, make, write_mcap
from PIL import Image
from reading import joined

from lipfault.errors import LipfaultError
from lipfault.importers.readers.mcap import McapSource
from lipfault.importers.readers.ros_images import decode_image

RAW, COMPRESSED = 'sensor_msgs/Image', 'sensor_msgs/CompressedImage'
RNG = np.random.default_rng(0)
HEIGHT, WIDTH = 6, 9
RGBA = RNG.integers(0, 256, (HEIGHT, WIDTH, 4), np.uint8)
DEEP = RNG.integers(0, 2**16, (HEIGHT, WIDTH, 3)).astype('u2')


@pytest.mark.parametrize(
    ('encoding', 'stored', 'expected'),
    [
        ('mono8', RGBA[..., 0], RGBA[..., :1]),
        ('8UC1', RGBA[..., 0], RGBA[..., :1]),
        ('rgb8', RGBA[..., :3], RGBA[..., :3]),
        ('bgr8', RGBA[..., 2::-1], RGBA[..., :3]),
        ('rgba8', RGBA, RGBA),
        ('bgra8', RGBA[..., [2, 1, 0, 3]], RGBA),
        ('mono16', DEEP[..., 0], DEEP[..., :1]),
        ('16UC1', DEEP[..., 0], DEEP[..., :1]),
        ('rgb16', DEEP, DEEP),
        ('bgr16', DEEP[..., ::-1], DEEP),
    ],
)
@pytest.mark.parametrize('padding', [0, 5])
@pytest.mark.parametrize('bigendian', [0, 1])
def test_encodings(
    encoding: str, stored: np.ndarray, expected: np.ndarray, padding: int, bigendian: int
) -> None:
    order = '>' if bigendian else '<'
    rows = stored.astype(stored.dtype.newbyteorder(order)).reshape(HEIGHT, -1)
    data = b''.join(row.tobytes() + bytes(padding) for row in rows)
    message = image(
        stored, encoding, step=rows[0].nbytes + padding, is_bigendian=bigendian,
        data=np.frombuffer(data, np.uint8),
    )  # fmt: skip
    frame = decode_image(RAW, message)
    assert frame.dtype == expected.dtype
    assert np.array_equal(frame, expected)


@pytest.mark.parametrize('encoding', ['bayer_rggb8', '32FC1', 'yuv422', 'uyvy', '8UC3', ''])
def test_encodings_that_are_not_read_are_named(encoding: str) -> None:
    with pytest.raises(LipfaultError, match=rf"encoding '{encoding}' is not read; mono8"):
        decode_image(RAW, image(RGBA, encoding))


def test_other_topics_are_read_beside_an_odd_camera(tmp_path: Path) -> None:
    kind, head = 'sensor_msgs/msg/Image', header(START)
    records = [
        (topic, kind, START, image(frame, encoding, header=head))
        for topic, frame, encoding in (
            ('/bayer', RGBA[..., 0], 'bayer_rggb8'),
            ('/depth', DEEP[..., 0], '16UC1'),
            ('/eye', RGBA, 'rgba8'),
        )
    ]
    write_mcap(tmp_path / 'a.mcap', records)
    source = McapSource(tmp_path / 'a.mcap')
    assert list(source.fields) == ['/depth', '/eye']
    assert (source.fields['/depth'].channels, source.fields['/depth'].units) == (
        ('depth',),
        ('mm',),
    )
    assert source.fields['/eye'].channels == ('red', 'green', 'blue', 'alpha')
    with pytest.raises(LipfaultError, match="'/bayer' is not read: encoding 'bayer_rggb8'"):
        source.read('a', '/bayer')


@pytest.mark.parametrize('change', [{'height': HEIGHT + 1}, {'step': 3}, {'width': 0}])
def test_frames_that_contradict_themselves(change: dict) -> None:
    with pytest.raises(LipfaultError, match=r'a frame of .* holds 162 bytes'):
        decode_image(RAW, image(RGBA[..., :3], 'rgb8', **change))


def test_a_change_of_size_is_named(tmp_path: Path) -> None:
    kind = 'sensor_msgs/msg/Image'
    frames = [RGBA, RGBA[:-1]]
    records = [('/eye', kind, START + n, image(frame, 'rgba8')) for n, frame in enumerate(frames)]
    write_mcap(tmp_path / 'a.mcap', records)
    with pytest.raises(LipfaultError, match=r'/eye, message 1: .*\(5, 9, 4\).*\(6, 9, 4\)'):
        joined(McapSource(tmp_path / 'a.mcap'), 'a', '/eye')


def compressed(data: bytes | np.ndarray, stated: str = 'png') -> object:
    data = np.frombuffer(data, np.uint8) if isinstance(data, bytes) else data
    return make('sensor_msgs/msg/CompressedImage', format=stated, data=data)


def test_png_is_read_without_loss() -> None:
    for frame in (RGBA, RGBA[..., :3], RGBA[..., 0], DEEP[..., 0]):
        decoded = decode_image(COMPRESSED, compressed(jpeg(frame, 'PNG'), 'rgb8; png compressed'))
        assert decoded.dtype == frame.dtype
        assert np.array_equal(decoded, frame.reshape(HEIGHT, WIDTH, -1))


def test_palettes_are_converted_to_colours() -> None:
    picture = Image.fromarray(RGBA[..., :3]).quantize(8)
    colours = np.asarray(picture.convert('RGB'))
    stored = jpeg(np.asarray(picture.convert('RGB')), 'PNG')
    assert np.array_equal(decode_image(COMPRESSED, compressed(stored)), colours)


def test_jpeg_is_read_as_pillow_reads_it() -> None:
    for frame in (RGBA[..., :3], RGBA[..., 0]):
        decoded = decode_image(COMPRESSED, compressed(jpeg(frame), 'bgr8; jpeg compressed bgr8'))
        assert decoded.shape == (HEIGHT, WIDTH, 1 if frame.ndim == 2 else 3)
        assert np.abs(decoded.astype(int).mean() - frame.mean()) < 10


def test_compressed_depth() -> None:
    data = np.concatenate([np.zeros(12, np.uint8), jpeg(DEEP[..., 0], 'PNG')])
    frame = decode_image(COMPRESSED, compressed(data, '16UC1; compressedDepth png'))
    assert np.array_equal(frame[..., 0], DEEP[..., 0])
    with pytest.raises(LipfaultError, match='32FC1; compressedDepth'):
        decode_image(COMPRESSED, compressed(data, '32FC1; compressedDepth png'))


@pytest.mark.parametrize(
    ('data', 'message'),
    [
        (b'', "format 'h264' is not read"),
        (b'\0\0\0\1\x67', "format 'h264' is not read"),
        (b'\xff\xd8\xff no frame', 'frame is damaged'),
        (jpeg(RGBA[..., :3])[:-200], 'frame is damaged'),
        (jpeg(RGBA, 'PNG')[:-40], 'frame is damaged'),
    ],
)
def test_formats_that_are_not_read(data: bytes | np.ndarray, message: str) -> None:
    with pytest.raises(LipfaultError, match=message):
        decode_image(COMPRESSED, compressed(data, 'h264'))


def test_16_bit_colours_in_png_are_not_cut_to_8() -> None:
    head = bytearray(jpeg(RGBA[..., :3], 'PNG').tobytes())
    head[24] = 16
    with pytest.raises(LipfaultError, match='16 bits of colours'):
        decode_image(COMPRESSED, compressed(bytes(head)))
