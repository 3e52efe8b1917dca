"""Description of a modality, shared by recordings, faults and models."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
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
class SerialChain:
    """Revolute joints in series, and the channels of a tool that a controller computes from them.

    A transform is given by its first three rows, row by row: 12 numbers, the translation in m.

    Args:
        joints: Denavit-Hartenberg row (d, a, alpha, offset) of each joint in the standard
            convention, base first; m and rad.
        base: Transform from the world to the frame of the first joint.
        tool: Transform from the last frame to the tool.
        angles: Channels of the joint angles, rad.
        speeds: Channels of the joint speeds, rad/s; empty if velocity and rate are.
        position: Channels of the tool's x, y and z, m, world frame; empty if not recorded, as are
            the others.
        rotation: Channels of the x and y axes of the tool's frame, six entries.
        velocity: Channels of the tool's velocity, m/s, world frame.
        rate: Channels of the tool's angular rate, rad/s, world frame.

    Raises:
        LipfaultError: If the number of entries does not fit.

    Reference:
        Denavit & Hartenberg 1955, A kinematic notation for lower-pair mechanisms based on matrices,
        https://doi.org/10.1115/1.4011045
    """

    joints: tuple[tuple[float, ...], ...]
    base: tuple[float, ...]
    tool: tuple[float, ...]
    angles: tuple[str, ...]
    speeds: tuple[str, ...] = ()
    position: tuple[str, ...] = ()
    rotation: tuple[str, ...] = ()
    velocity: tuple[str, ...] = ()
    rate: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Reject a wrong number of entries."""
        moving, count = bool(self.velocity or self.rate), len(self.joints)
        wanted = {
            'joints': {max(count, 1)}, 'base': {12}, 'tool': {12}, 'angles': {count},
            'speeds': {count} if moving else {0, count}, 'position': {0, 3}, 'rotation': {0, 6},
            'velocity': {0, 3}, 'rate': {0, 3},
        }  # fmt: skip
        for key, numbers in wanted.items():
            if len(getattr(self, key)) not in numbers:
                allowed = ' or '.join(map(str, sorted(numbers)))
                raise LipfaultError(
                    f'chain: {key} must have {allowed} entries, got {len(getattr(self, key))}'
                )
        for row in self.joints:
            if len(row) != 4:
                raise LipfaultError(f'chain: a joint must have d, a, alpha and offset, got {row}')

    @property
    def inputs(self) -> tuple[str, ...]:
        """Return the channels of the joints, angles first."""
        return (*self.angles, *self.speeds)

    @property
    def outputs(self) -> tuple[str, ...]:
        """Return the channels of the tool."""
        return (*self.position, *self.rotation, *self.velocity, *self.rate)

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> Self:
        """Rebuild a chain from plain types.

        Args:
            fields: The fields by name; sequences of any type.

        Returns:
            The chain.

        Raises:
            LipfaultError: If a field is unknown, missing, or has a wrong number of entries.
        """
        known = set(cls.__dataclass_fields__)
        if not {'joints', 'base', 'tool', 'angles'} <= set(fields) <= known:
            raise LipfaultError(
                'chain: needs joints, base, tool and angles, and may have '
                f'{", ".join(sorted(known))}; got {", ".join(sorted(fields))}'
            )
        plain: dict[str, Any] = {key: tuple(value) for key, value in fields.items()}
        plain['joints'] = tuple(tuple(map(float, row)) for row in fields['joints'])
        return cls(**plain)


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
        groups: Channels of each physical sensor that has several, by the name of the sensor, such
            as position and velocity of an encoder. A fault hits whole sensors. Every other channel
            is a sensor of its own.
        derived: Channels that a controller computes from others. A fault never hits them; they
            follow the channels from which they are computed if `chain` says how.
        chain: Kinematics that compute derived channels; `None` if there are none.

    Raises:
        LipfaultError: If the lengths of the per-channel fields differ, a range is empty, a rate, a
            noise or a quantum is not positive, a quantum exceeds the range, the size does not fit
            the kind, or sensors, derived channels and chain name unknown channels or contradict
            each other.
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
    groups: Mapping[str, tuple[str, ...]] = field(default_factory=dict, hash=False)
    derived: tuple[str, ...] = ()
    chain: SerialChain | None = None

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
        self._require_valid_sensors()
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
        keys = ('units', 'low', 'high', 'noise')
        for key in keys if self.quantum is None else (*keys, 'quantum'):
            if len(getattr(self, key)) != len(self.channels):
                raise LipfaultError(
                    f'modality {self.name!r}: {key} must have one entry for each of the '
                    f'{len(self.channels)} channels, got {len(getattr(self, key))}'
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

    @property
    def sensors(self) -> tuple[tuple[int, ...], ...]:
        """Return the channel numbers of each physical sensor, in order of the first channel."""
        number = {channel: index for index, channel in enumerate(self.channels)}
        grouped = [tuple(sorted(number[c] for c in group)) for group in self.groups.values()]
        taken = {index for group in grouped for index in group}
        taken |= {number[channel] for channel in self.derived}
        alone = [(index,) for index in range(len(self.channels)) if index not in taken]
        return tuple(sorted([*grouped, *alone]))

    def _require_valid_sensors(self) -> None:
        """Reject sensors, derived channels and a chain that do not fit the channels."""
        owner = dict.fromkeys(self.derived, 'the derived channels')
        members = {
            'derived': self.derived,
            **{f'sensor {name!r}': channels for name, channels in self.groups.items()},
            'chain': (*self.chain.inputs, *self.chain.outputs) if self.chain else (),
        }
        for place, channels in members.items():
            for channel in channels:
                if channel not in self.channels:
                    raise LipfaultError(
                        f'modality {self.name!r}, {place}: unknown channel {channel!r}, known are '
                        f'{", ".join(self.channels)}'
                    )
        for name, channels in self.groups.items():
            for channel in channels:
                if channel in owner:
                    raise LipfaultError(
                        f'modality {self.name!r}: channel {channel!r} is in sensor {name!r} and in '
                        f'{owner[channel]}; it can be in one only'
                    )
                owner[channel] = f'sensor {name!r}'
        if set(self.derived) >= set(self.channels):
            raise LipfaultError(f'modality {self.name!r}: not all channels can be derived')
        self._require_valid_chain()

    def _require_valid_chain(self) -> None:
        """Reject a chain of an image, and one whose tool is not derived or whose joints are."""
        if self.chain is None:
            return
        if self.kind != 'series':
            raise LipfaultError(f'modality {self.name!r}: only a series can have a chain')
        for channel in (*self.chain.inputs, *self.chain.outputs):
            if (channel in self.derived) != (channel in self.chain.outputs):
                raise LipfaultError(
                    f'modality {self.name!r}: of the chain, the channels of the tool must be in '
                    f'derived and those of the joints not; {channel!r} is wrong'
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
            'groups': {name: list(channels) for name, channels in self.groups.items()},
            'derived': list(self.derived),
            'chain': None if self.chain is None else _plain(asdict(self.chain)),
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
        # Recordings and checkpoints of earlier versions lack the quantum and what follows it.
        size, quantum, chain = fields['size'], fields.get('quantum'), fields.get('chain')
        groups = dict(fields.get('groups') or {})
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
            groups={str(name): tuple(map(str, channels)) for name, channels in groups.items()},
            derived=tuple(map(str, fields.get('derived') or ())),
            chain=None if chain is None else SerialChain.from_dict(chain),
        )


def _plain(value: Any) -> Any:  # noqa: ANN401
    """Return nested tuples as lists."""
    if isinstance(value, dict):
        return {key: _plain(each) for key, each in value.items()}
    return [_plain(each) for each in value] if isinstance(value, tuple) else value
