"""Description of a modality, shared by recordings, faults and models."""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Self, TypeAlias

from lipfault.errors import LipfaultError

if TYPE_CHECKING:
    from torch import Tensor

Kind = Literal['image', 'series']

Signals: TypeAlias = dict[str, 'Tensor']
"""One tensor per modality: series (batch, channel, time) in physical units, images
(batch, channel, height, width) in [0, 1]; float32. Standardized signals have the same shapes."""


# Step of an image of 8 bits, in [0, 1].
_GREY_STEP = 1 / 255

# Ratio of noise to quantum of a series without a stated quantum: rounding adds (1/8)^2 / 12 =
# 0.13 % to the variance.
_NOISE_PER_QUANTUM = 8


@dataclass(frozen=True)
class Modality:
    """One stream of a robot cell: an image stream or a multi-channel time series.

    A series is in physical units, an image in [0, 1].

    Args:
        name: Key of the modality in recordings, batches and metrics.
        kind: `image` for (channel, height, width) frames, `series` for (channel, time) windows.
        rate_hz: Samples (frames) per second.
        channels: Name of each channel.
        units: Unit of each channel, `1` for a dimensionless one.
        low: Lower end of each channel's physical range, in its unit.
        high: Upper end of each channel's physical range, in its unit.
        noise: Standard deviation of each channel's sensor noise, quantization included, in its
            unit.
        size: (height, width) of an image in pixels; `None` for a series.
        quantum: Step of each channel's reading, in its unit; `None` if not stated, see `steps`. An
            image of L levels, spread over 0 to 255 and rounded, has 1 / (L - 1).
        quantum_inferred: Whether the quantum was inferred from recorded values.

    Raises:
        LipfaultError: If the lengths of the per-channel fields differ, a range is empty, a rate, a
            noise or a quantum is not positive, a quantum exceeds the range, or the size does not
            fit the kind.
    """

    name: str
    kind: Kind
    rate_hz: float
    channels: tuple[str, ...]
    units: tuple[str, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]
    noise: tuple[float, ...]
    size: tuple[int, int] | None = None
    quantum: tuple[float, ...] | None = None
    quantum_inferred: bool = False

    @property
    def steps(self) -> tuple[float, ...]:
        """Return the step of each channel's grid of values, in its unit.

        Returns:
            The quantum, if it is stated. Otherwise 1/255 for an image; for a series the largest
            power of two not above an eighth of the noise, to which recordings are rounded.

        Example:
            >>> Modality('i', 'series', 100.0, ('x',), ('g',), (-2.0,), (2.0,), (0.1,)).steps
            (0.0078125,)
        """
        if self.quantum is not None:
            return self.quantum
        if self.kind == 'image':
            return (_GREY_STEP,) * len(self.channels)
        return tuple(2.0 ** math.floor(math.log2(n / _NOISE_PER_QUANTUM)) for n in self.noise)

    @property
    def eight_bit(self) -> bool:
        """Return whether values are stored in 8 bits: of an image no step of which is finer."""
        return self.kind == 'image' and min(self.steps) > _GREY_STEP * (1 - 1e-6)

    def __post_init__(self) -> None:
        """Reject a description that contradicts itself."""
        # A name becomes an attribute of modules and a key of metrics.
        if not self.name.isidentifier():
            raise LipfaultError(
                f'modality {self.name!r}: the name must consist of letters, digits and underscores'
            )
        if self.kind not in ('image', 'series'):
            raise LipfaultError(
                f'modality {self.name!r}: kind must be "image" or "series", got {self.kind!r}'
            )
        self._require_one_entry_per_channel()
        self._require_valid_ranges()
        self._require_valid_quantum()
        # Written as `not >` so that NaN is rejected, too.
        if not self.rate_hz > 0:
            raise LipfaultError(
                f'modality {self.name!r}: rate_hz must be positive, got {self.rate_hz}'
            )
        if (self.size is None) != (self.kind == 'series'):
            raise LipfaultError(
                f'modality {self.name!r}: an image needs a size, a series has none; got {self.size}'
            )

    def _require_one_entry_per_channel(self) -> None:
        """Reject an empty list of channels and per-channel fields of another length."""
        if not self.channels:
            raise LipfaultError(f'modality {self.name!r}: needs at least one channel')
        fields = ('units', 'low', 'high', 'noise')
        for field in fields if self.quantum is None else (*fields, 'quantum'):
            if len(getattr(self, field)) != len(self.channels):
                raise LipfaultError(
                    f'modality {self.name!r}: {field} must have one entry for each of the '
                    f'{len(self.channels)} channels, got {len(getattr(self, field))}'
                )

    def _require_valid_ranges(self) -> None:
        """Reject an empty physical range and a noise that is not positive."""
        for channel, low, high, noise in zip(
            self.channels, self.low, self.high, self.noise, strict=True
        ):
            if not low < high:
                raise LipfaultError(
                    f'modality {self.name!r}, channel {channel!r}: low must be below high, '
                    f'got [{low}, {high}]'
                )
            # Damage and residuals are measured in units of this noise.
            if not noise > 0:
                raise LipfaultError(
                    f'modality {self.name!r}, channel {channel!r}: noise must be positive, '
                    f'got {noise}'
                )

    def _require_valid_quantum(self) -> None:
        """Reject a quantum that is not positive or exceeds the physical range."""
        for channel, quantum, low, high in zip(
            self.channels, self.quantum or (), self.low, self.high, strict=False
        ):
            if not 0 < quantum <= high - low:
                raise LipfaultError(
                    f'modality {self.name!r}, channel {channel!r}: quantum must be above 0 and at '
                    f'most the range {high - low:g}, got {quantum}'
                )

    def to_dict(self) -> dict[str, Any]:
        """Convert to plain types for checkpoints and JSON; `from_dict` is the inverse.

        Returns:
            The fields by name; tuples become lists.
        """
        return {
            'name': self.name,
            'kind': self.kind,
            'rate_hz': self.rate_hz,
            'channels': list(self.channels),
            'units': list(self.units),
            'low': list(self.low),
            'high': list(self.high),
            'noise': list(self.noise),
            'size': None if self.size is None else list(self.size),
            'quantum': None if self.quantum is None else list(self.quantum),
            'quantum_inferred': self.quantum_inferred,
        }

    @classmethod
    def from_dict(cls, fields: dict[str, Any]) -> Self:
        """Rebuild a modality from the plain types of `to_dict`.

        Args:
            fields: The fields by name.

        Returns:
            The modality.

        Raises:
            LipfaultError: If the description contradicts itself.
        """
        # Recordings and checkpoints of earlier versions lack the quantum.
        size, quantum = fields['size'], fields.get('quantum')
        return cls(
            name=str(fields['name']),
            kind=fields['kind'],
            rate_hz=float(fields['rate_hz']),
            channels=tuple(map(str, fields['channels'])),
            units=tuple(map(str, fields['units'])),
            low=tuple(map(float, fields['low'])),
            high=tuple(map(float, fields['high'])),
            noise=tuple(map(float, fields['noise'])),
            size=None if size is None else (int(size[0]), int(size[1])),
            quantum=None if quantum is None else tuple(map(float, quantum)),
            quantum_inferred=bool(fields.get('quantum_inferred', False)),
        )
