"""Change of a corrected modality by a fault of another modality, in physical units."""

from dataclasses import asdict, dataclass
from typing import Any

from torch import Tensor

from lipfault.errors import LipfaultError
from lipfault.modality import Modality

ROUNDING = 1e-4
"""Relative excess of a measured change over its bound that float32 rounding explains."""


@dataclass(frozen=True)
class OutputChange:
    """Change of a corrected signal by faults of one modality within its physical range.

    Changes are RMS over the window, of the channel whose worst change is largest relative to its
    physical range.

    Args:
        source: The faulty modality.
        output: The corrected modality.
        channel: The channel.
        unit: Unit of the channel.
        median: Median over the injected faults.
        worst: Largest change found, by injection or by the adversary: a lower bound.
        bound: Certified upper bound for all faults within the range.
        span: Width of the physical range of the channel.
    """

    source: str
    output: str
    channel: str
    unit: str
    median: float
    worst: float
    bound: float
    span: float

    @property
    def is_informative(self) -> bool:
        """Return whether the bound is below the width of the physical range."""
        return self.bound < self.span

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as plain types."""
        return asdict(self)

    def statement(self) -> str:
        """Return the change as a sentence with units."""
        unit = '' if self.unit == '1' else f' {self.unit}'  # 1: dimensionless
        text = (
            f'Faults of {self.source} within its physical range change {self.channel} of the '
            f'corrected {self.output} by {self.median:.3g}{unit} (median) and by '
            f'{self.worst:.3g}{unit} in the worst case found; the certified bound is '
            f'{self.bound:.3g}{unit}'
        )
        if self.is_informative:
            return f'{text}.'
        return f'{text}, not below the physical range of {self.span:.3g}{unit}.'


def largest_output_change(
    source: str, modality: Modality, changes: tuple[Tensor, Tensor], bound: Tensor
) -> OutputChange:
    """Select the channel with the largest change relative to its physical range.

    Args:
        source: The faulty modality.
        modality: The corrected modality.
        changes: RMS changes over the window (sample, channel) in physical units: of the injected
            faults, and of those that the adversary found.
        bound: (channel,) certified upper bound of these changes, physical units.

    Returns:
        Changes and bound of the selected channel.

    Raises:
        LipfaultError: If a change exceeds its bound: then the certificate is wrong.
    """
    span = bound.new_tensor(modality.high) - bound.new_tensor(modality.low)
    worst = changes[0].amax(dim=0).maximum(changes[1].amax(dim=0)).to(bound)  # (channel,)
    over = (worst > bound * (1 + ROUNDING)).nonzero().flatten().tolist()
    if over:
        raise LipfaultError(
            f'fault of {source}: the change {float(worst[over[0]]):.6g} of {modality.name} in '
            f'{modality.channels[over[0]]} exceeds its certified bound {float(bound[over[0]]):.6g}'
        )
    channel = int((worst / span).argmax())
    return OutputChange(
        source=source,
        output=modality.name,
        channel=modality.channels[channel],
        unit=modality.units[channel],
        median=float(changes[0][:, channel].median()),
        worst=float(worst[channel]),
        bound=float(bound[channel]),
        span=float(span[channel]),
    )
