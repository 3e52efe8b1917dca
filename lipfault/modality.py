"""Description of a modality, shared by recordings, faults and models."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Self, TypeAlias

from lipfault.errors import LipfaultError

if TYPE_CHECKING:
    from torch import Tensor

Kind = Literal['image', 'series']

Signals: TypeAlias = dict[str, 'Tensor']
"""One tensor per modality: series (batch, channel, time) in physical units, images
(batch, channel, height, width) in [0, 1]; float32. Standardized signals have the same shapes."""


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

    Raises:
        LipfaultError: If the lengths of the per-channel fields differ, a range is empty, a rate or
            a noise is not positive, or the size does not fit the kind.
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
        for field in ('units', 'low', 'high', 'noise'):
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
        size = fields['size']
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
        )
