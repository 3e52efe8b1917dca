"""What a fault on one modality does to another in physical units, in figures and in plain words."""

from dataclasses import asdict, dataclass
from typing import Any

from torch import Tensor

from lipfault.errors import LipfaultError
from lipfault.modality import Modality


@dataclass(frozen=True)
class Move:
    """How far a cleaned signal moves when one modality fails within its range.

    Root mean square over the window, of the channel whose worst change is largest in relation to
    its range.

    Args:
        source: The faulty modality.
        output: The modality that is read out.
        channel: The channel of it.
        unit: Its unit.
        typical: Median over the injected faults.
        worst: Largest that was found, by injection or by the adversary, from below.
        bound: No fault within the range can move it further, from above.
        span: Width of the channel's physical range.
    """

    source: str
    output: str
    channel: str
    unit: str
    typical: float
    worst: float
    bound: float
    span: float

    @property
    def promises(self) -> bool:
        """Whether the bound says more than that the channel has a range."""
        return self.bound < self.span

    def to_dict(self) -> dict[str, Any]:
        """Plain types."""
        return asdict(self)

    def sentence(self) -> str:
        """For an engineer."""
        unit = '' if self.unit == '1' else f' {self.unit}'
        text = (
            f'If {self.source} fails within its range, the cleaned {self.output} moves, in '
            f'{self.channel}, typically {self.typical:.3g}{unit} and in the worst case found '
            f'{self.worst:.3g}{unit}'
        )
        if self.promises:
            return f'{text}; more than {self.bound:.3g}{unit} is impossible.'
        return (
            f'{text}; no limit below its whole range of {self.span:.3g}{unit} can be promised '
            f'(the bound is {self.bound:.3g}{unit}).'
        )


def largest_move(
    source: str, modality: Modality, moved: tuple[Tensor, Tensor], bound: Tensor
) -> Move:
    """Pick the channel that moves most in relation to its range.

    Args:
        source: The faulty modality.
        modality: The modality that is read out.
        moved: Root mean square changes over the window (sample, channel): of the injected faults,
            and of those that the adversary found.
        bound: (channel,) what no such change can exceed.

    Raises:
        LipfaultError: If a channel was moved further than its bound: then a figure is wrong, and
            none may be shown.
    """
    span = bound.new_tensor(modality.high) - bound.new_tensor(modality.low)
    worst = moved[0].amax(dim=0).maximum(moved[1].amax(dim=0)).to(bound)
    over = (worst > bound * (1 + 1e-4)).nonzero().flatten().tolist()
    if over:
        raise LipfaultError(
            f'fault on {source}: {modality.name} moved by {float(worst[over[0]]):.6g} in '
            f'{modality.channels[over[0]]}, but at most {float(bound[over[0]]):.6g} is certified'
        )
    channel = int((worst / span).argmax())
    return Move(
        source=source,
        output=modality.name,
        channel=modality.channels[channel],
        unit=modality.units[channel],
        typical=float(moved[0][:, channel].median()),
        worst=float(worst[channel]),
        bound=float(bound[channel]),
        span=float(span[channel]),
    )
