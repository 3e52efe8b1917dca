"""What an import knows of a modality."""

from dataclasses import dataclass

from lipfault.modality import Modality

# White of an image of 8 bits.
WHITE = 255.0


@dataclass(frozen=True)
class Description:
    """A modality, and how certain its entries are.

    Args:
        modality: The modality.
        estimated: Names of the entries that are estimated from the values.
        constant: Channels that never change.
        duplicates: Pairs of channels with equal values.
        velocities: Pairs of a channel and its rate of change, candidates for one sensor.
        sentinels: Values that mark missing readings by all appearances, with their numbers.
        white: Value of a frame that becomes 255.
    """

    modality: Modality
    estimated: tuple[str, ...]
    constant: tuple[str, ...] = ()
    duplicates: tuple[tuple[str, str], ...] = ()
    velocities: tuple[tuple[str, str], ...] = ()
    sentinels: tuple[tuple[float, int], ...] = ()
    white: float = WHITE
