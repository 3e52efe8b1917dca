"""Decode a part of a film with PyAV, frame by frame."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import av
import numpy as np
import numpy.typing as npt

from lipfault.errors import LipfaultError
from lipfault.importers.source import Field, Samples

# Bytes of a chunk of frames.
_CHUNK_BYTES = 1 << 23

_LAYOUTS = {
    'uint8': {1: 'gray', 3: 'rgb24', 4: 'rgba'},
    'uint16': {1: 'gray16le'},
}
"""Pixel format of the decoded frames by dtype and number of channels."""


class FilmPart:
    """The frames of a film between two instants.

    Args:
        path: The film.
        start: Start in seconds of the film; subtracted from the time stamps.
        stop: End in seconds of the film, exclusive; None for its end.
        rate_hz: Frames per second, for frames without a time stamp and for the tolerance at start
            and end, half a frame.
        where: File, episode and field, for messages.
    """

    def __init__(
        self, path: Path, start: float, stop: float | None, rate_hz: float, where: str
    ) -> None:
        """Keep the limits."""
        self._path, self._start, self._stop = path, start, stop
        self._rate, self._where = rate_hz, where

    def stamps(self) -> npt.NDArray[np.float64]:
        """Return the time stamps of the frames (frames,) float64 without decoding them."""
        with self._opened() as (container, stream):
            found = [
                self._seconds(packet, stream, number)
                for number, packet in enumerate(self._packets(container, stream))
            ]
        times = np.sort(np.array(found, dtype=np.float64))
        return times[self._inside(times)]

    def read(self, field: Field) -> Iterator[Samples]:
        """Decode the frames.

        Args:
            field: Size, channels and dtype that the frames must have.

        Yields:
            Chunks of some 8 MiB.

        Raises:
            LipfaultError: If the film is damaged or a frame has another size.
        """
        height, width = field.size or (0, 0)
        layout = _LAYOUTS[field.dtype][len(field.channels)]
        shape = (height, width, len(field.channels))
        most = max(1, _CHUNK_BYTES // max(1, int(np.prod(shape)) * np.dtype(field.dtype).itemsize))
        chunk, times = np.empty((most, *shape), field.dtype), list[float]()
        with self._opened() as (container, stream):
            for time, frame in self._frames(container, stream):
                if (frame.height, frame.width) != (height, width):
                    raise LipfaultError(
                        f'{self._where}: a frame at {time:.3f} s has {frame.height} x '
                        f'{frame.width} pixels, other films {height} x {width}'
                    )
                chunk[len(times)] = frame.to_ndarray(format=layout).reshape(shape)
                times.append(time)
                if len(times) == most:
                    yield Samples(np.array(times), chunk)
                    chunk, times = np.empty_like(chunk), []
        if times:
            yield Samples(np.array(times), chunk[: len(times)])

    def _frames(self, container: Any, stream: Any) -> Iterator[tuple[float, Any]]:  # noqa: ANN401
        """Yield the frames of the part with their stamps."""
        stream.thread_type = 'AUTO'
        self._seek(container, stream)
        for number, frame in enumerate(container.decode(stream)):
            time = self._seconds(frame, stream, number)
            inside = self._inside(np.array([time]))[0]
            if inside:
                yield time, frame
            elif time > 0:
                return

    def _packets(self, container: Any, stream: Any) -> Iterator[Any]:  # noqa: ANN401
        """Yield the packets of the part, and some around it."""
        self._seek(container, stream)
        length = None if self._stop is None else self._stop - self._start
        for packet in container.demux(stream):
            if packet.size == 0:
                continue
            # Decoding order: a frame shown before the end may come after one behind the end.
            dts = 0.0 if packet.dts is None else float(packet.dts * stream.time_base)
            if length is not None and dts - self._start > length + 1.0:
                return
            yield packet

    def _seek(self, container: Any, stream: Any) -> None:  # noqa: ANN401
        if self._start > 0:
            container.seek(int(self._start / stream.time_base), stream=stream, backward=True)

    def _seconds(self, item: Any, stream: Any, number: int) -> float:  # noqa: ANN401
        """Return the stamp of a packet or frame relative to the start of the part."""
        if item.pts is None:
            return number / self._rate - self._start
        return float(item.pts * stream.time_base) - self._start

    def _inside(self, times: npt.NDArray[np.float64]) -> npt.NDArray[np.bool_]:
        """Return which stamps lie in the part, with a tolerance of half a frame."""
        if self._stop is None:
            return np.ones(len(times), dtype=np.bool_)
        slack = 0.5 / self._rate
        return (times >= -slack) & (times < self._stop - self._start - slack)

    @contextmanager
    def _opened(self) -> Iterator[tuple[Any, Any]]:
        """Open the film and its first stream of frames; name the film in errors."""
        with opened(self._path, self._where) as (container, stream):
            yield container, stream


@contextmanager
def opened(path: Path, where: str) -> Iterator[tuple[Any, Any]]:
    """Open a film.

    Args:
        path: The film.
        where: File, episode and field, for messages.

    Yields:
        The container and its first stream of frames.

    Raises:
        LipfaultError: If the film is damaged or holds no frames, also while it is read.
    """
    try:
        with av.open(str(path)) as container:
            if not container.streams.video:
                raise LipfaultError(f'{where}: the file holds no film')
            yield container, container.streams.video[0]
    except (av.FFmpegError, ValueError, EOFError) as error:
        reason = getattr(error, 'strerror', None) or str(error)
        raise LipfaultError(f'{where}: the film is damaged or truncated: {reason}') from error


def film_size(path: Path) -> tuple[tuple[int, int], tuple[str, ...], str]:
    """Return size, channels and dtype of the frames of a film.

    Args:
        path: The film.

    Returns:
        (height, width), the name of each channel, and `uint8` or `uint16`.

    Raises:
        LipfaultError: If the film is damaged.
    """
    with opened(path, str(path)) as (_, stream):
        context = stream.codec_context
        size, name = (context.height, context.width), context.pix_fmt or ''
    if not name.startswith('gray'):
        return size, ('red', 'green', 'blue'), 'uint8'
    # gray10le, gray12le and gray16le hold quantized depth.
    deep = name not in ('gray', 'gray8')
    return size, ('depth' if deep else 'grey',), 'uint16' if deep else 'uint8'
