"""Long sets of a cell for the benchmark: which episodes they hold, and their identity."""

from dataclasses import dataclass
from math import ceil

from lipfault.cells.checksums import REFERENCE
from lipfault.data.checksum import Checksum
from lipfault.errors import LipfaultError

# Most episodes of a set: their ids have four digits.
_MOST_EPISODES = 10_000


@dataclass(frozen=True)
class NamedSet:
    """A set that every cell has.

    Args:
        seed: Seed of its episodes. The shipped recordings have the seed 0.
        hours: Length by default, h.
    """

    seed: int
    hours: float


SETS = {
    'train': NamedSet(seed=10_001, hours=2.0),
    'calibration': NamedSet(seed=10_002, hours=1.0),
    'test': NamedSet(seed=10_003, hours=2.0),
}
"""The long sets by name."""


@dataclass(frozen=True)
class LongSet:
    """A long set of one cell; `require_plan` checks the settings of the cell.

    Args:
        cell: Name of the cell.
        name: A key of `SETS`.
        hours: Length, h; rounded up to whole episodes.
        image_size: Height and width of a camera frame, pixels.
        variety: Variety of the appearance, 0 to 1.
        camera_bits: Bits of each colour of the camera.
        episode_s: Length of each episode, s.

    Raises:
        LipfaultError: If the set is unknown or its length out of range.
    """

    cell: str
    name: str
    hours: float
    image_size: int = 64
    variety: float = 1.0
    camera_bits: int = 8
    episode_s: float = 20.0

    def __post_init__(self) -> None:
        """Reject an unknown set and a length out of its range."""
        if self.name not in SETS:
            raise LipfaultError(f'there is no set {self.name!r}; choose one of {", ".join(SETS)}')
        most = _MOST_EPISODES * self.episode_s / 3600  # h
        if not 0 < self.hours <= most:
            raise LipfaultError(f'hours must be above 0 and at most {most:.1f}, got {self.hours}')

    @property
    def episodes(self) -> int:
        """Number of episodes."""
        return ceil(self.hours * 3600 / self.episode_s)

    @property
    def seed(self) -> int:
        """Seed of the episodes."""
        return SETS[self.name].seed

    @property
    def title(self) -> str:
        """Name and settings in one line, a key of `REFERENCE`."""
        return (
            f'{self.cell} {self.name}, {self.episodes} x {self.episode_s:g} s, '
            f'{self.image_size} px, variety {self.variety:g}, {self.camera_bits} bits'
        )

    @property
    def attributes(self) -> dict[str, str | int | float]:
        """Settings of an episode of the set, for the attributes of its file."""
        return {
            'cell': self.cell, 'set': self.name, 'seed': self.seed, 'episode_s': self.episode_s,
            'image_size': self.image_size, 'variety': self.variety,
            'camera_bits': self.camera_bits,
        }  # fmt: skip


def compare(plan: LongSet, checksum: Checksum) -> str:
    """Compare the contents of a set with the reference.

    Args:
        plan: The set.
        checksum: Checksums of its contents.

    Returns:
        The result in one line; without a reference, the line to add to the table.
    """
    reference = REFERENCE.get(plan.title)
    if reference is None:
        return (
            f'there is no reference for {plan.title}; the line for lipfault/cells/checksums.py '
            f'is\n    {plan.title!r}: {tuple(checksum)!r},'
        )
    if reference == tuple(checksum):
        return 'the contents are equal to the reference'
    if reference[0] == checksum.series:
        return (
            'the series are equal to the reference, the pixels are not: this graphics card or '
            'OpenGL driver rounds differently; results on this set may differ slightly'
        )
    return (
        'the series are not equal to the reference: another version of MuJoCo or NumPy, or another '
        'processor; results on this set are not exactly comparable'
    )
