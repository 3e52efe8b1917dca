"""Reader of HDF5: robomimic data sets, and files or folders of files with arrays over time.

Reference:
    robomimic, data sets: https://robomimic.github.io/docs/datasets/overview.html
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

from lipfault.data.layout import FORMAT
from lipfault.errors import LipfaultError
from lipfault.importers.readers.arrays import ArraySource, EpisodeArrays, StoredArray
from lipfault.importers.readers.source_base import listed, natural, unique_ids
from lipfault.importers.readers.stamps import StampOptions

SUFFIXES = ('.h5', '.hdf5', '.hdf')


@dataclass(frozen=True)
class _Dataset:
    """A dataset of a file, which is open while it is read."""

    file: Path
    key: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    attributes: Mapping[str, Any] = field(default_factory=dict)

    def blocks(self, rows: int) -> Iterator[npt.NDArray[Any]]:
        """Yield consecutive blocks along the first axis."""
        with h5py.File(self.file, 'r') as file:
            dataset = file[self.key]
            for start in range(0, self.shape[0], rows):
                yield dataset[start : start + rows]


class Hdf5Source(ArraySource):
    """An HDF5 file, or a folder of HDF5 files with one episode each.

    The groups of `data` are the episodes, as robomimic writes them; in a file without such groups
    the root is one episode. External links, external storage and virtual datasets, whose data are
    in other files, are not read.

    Args:
        path: Path of the file or folder.
        episodes: Group that holds one group for each episode, instead of `data`.
        filter: Name of a robomimic filter key: the episodes that `mask/<filter>` lists.
        time: Name of the dataset with the time stamps, see `StampOptions`.
        time_unit: Unit of the stamps.
        rate_hz: Rate of a file without stamps; robomimic data state `control_freq`.

    Raises:
        LipfaultError: If a file is no HDF5 or damaged, or an option names what is not there.
    """

    def __init__(
        self,
        path: Path,
        *,
        episodes: str | None = None,
        filter: str | None = None,  # the word of robomimic
        time: str | None = None,
        time_unit: str | None = None,
        rate_hz: float | Mapping[str, float] | None = None,
    ) -> None:
        """Open the source."""
        options = StampOptions(time, time_unit, rate_hz)
        path = Path(path)
        skipped: dict[str, str] = {}
        found: dict[str, EpisodeArrays] = {}
        for file in _files(path):
            for name, arrays in _open(file, episodes, filter, skipped).items():
                found[f'{file.stem}/{name}' if name and path.is_dir() else name or file.stem] = (
                    arrays
                )
        by_id = {key: found[name] for key, name in unique_ids(found).items()}
        super().__init__(path, by_id, options, skipped)


def _files(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    files = [file for file in path.iterdir() if file.suffix.lower() in SUFFIXES and file.is_file()]
    if not files:
        raise LipfaultError(f'{path}: holds no file that ends in {", ".join(SUFFIXES)}')
    return sorted(files, key=lambda file: natural(file.name))


def _open(
    path: Path, group: str | None, key: str | None, skipped: dict[str, str]
) -> dict[str, EpisodeArrays]:
    """Return the episodes of a file by the name of their group, '' for the root."""
    try:
        with h5py.File(path, 'r') as file:
            return _episodes(file, path, group, key, skipped)
    except LipfaultError:
        raise
    except Exception as error:  # h5py raises OSError, RuntimeError, KeyError, ValueError
        raise LipfaultError(f'{path}: no HDF5 file, or a damaged one: {error}') from error


def _episodes(
    file: h5py.File, path: Path, group: str | None, key: str | None, skipped: dict[str, str]
) -> dict[str, EpisodeArrays]:
    stated = file.attrs.get('format')
    if stated in (FORMAT, FORMAT.encode()):
        raise LipfaultError(f'{path}: a recording of lipfault already: use it as --data.path')
    place = group if group is not None else 'data'
    if not _holds_groups(file, place):
        if group is not None or key is not None:
            raise LipfaultError(
                f'{path}: no group {place!r} with a group for each episode; '
                f'the file holds {listed(file)}'
            )
        return {'': EpisodeArrays(_arrays(file, path, skipped), str(path))}
    root = file[place]
    names = sorted(root, key=natural) if key is None else _filtered(file, path, root, key)
    rate = _control_rate(root)
    return {
        name: EpisodeArrays(
            _arrays(root[name], path, skipped), f'{path}: episode {name}', _control_rate(root, rate)
        )
        for name in names
    }


def _holds_groups(file: h5py.File, name: str) -> bool:
    if not isinstance(file.get(name, getlink=True), h5py.HardLink):
        return False
    group = file[name]
    return (
        isinstance(group, h5py.Group)
        and len(group) > 0
        and all(
            isinstance(group.get(child, getlink=True), h5py.HardLink)
            and isinstance(group[child], h5py.Group)
            for child in group
        )
    )


def _filtered(file: h5py.File, path: Path, root: h5py.Group, key: str) -> list[str]:
    """Return the names that a filter key lists, in its order."""
    masks = file.get('mask')
    keys = [] if not isinstance(masks, h5py.Group) else list(masks)
    if key not in keys:
        raise LipfaultError(f'{path}: no filter {key!r}; mask/ holds {listed(keys)}')
    names = [n.decode() if isinstance(n, bytes) else str(n) for n in masks[key][()]]
    if lacking := [name for name in names if name not in root]:
        raise LipfaultError(f'{path}: mask/{key} lists {listed(lacking)}, which {root.name} lacks')
    if not names:
        raise LipfaultError(f'{path}: mask/{key} lists no episode')
    return names


def _control_rate(group: h5py.Group, otherwise: float | None = None) -> float | None:
    """Return the control frequency that robomimic states in `env_args`, in hertz."""
    try:
        rate = json.loads(group.attrs['env_args'])['env_kwargs']['control_freq']
    except (KeyError, TypeError, ValueError):
        return otherwise
    return float(rate) if isinstance(rate, int | float) and rate > 0 else otherwise


def _arrays(root: h5py.Group, path: Path, skipped: dict[str, str]) -> dict[str, StoredArray]:
    """Return the datasets below a group by their path from it."""
    found: dict[str, StoredArray] = {}
    known = {h5py.h5o.get_info(root.id).addr}
    waiting = [('', root)]
    while waiting:
        prefix, group = waiting.pop()
        for child in group:
            name = f'{prefix}{child}'
            link = group.get(child, getlink=True)
            if not isinstance(link, h5py.HardLink):
                skipped[name] = _link_text(link)
                continue
            item = group[child]
            if isinstance(item, h5py.Group):
                # A group may be linked below itself.
                identity = h5py.h5o.get_info(item.id).addr
                if identity not in known:
                    known.add(identity)
                    waiting.append((f'{name}/', item))
            elif isinstance(item, h5py.Dataset):
                _add(name, item, path, found, skipped)
    return dict(sorted(found.items(), key=lambda entry: natural(entry[0])))


def _add(
    name: str,
    dataset: h5py.Dataset,
    path: Path,
    found: dict[str, StoredArray],
    skipped: dict[str, str],
) -> None:
    if name.startswith('next_obs/'):
        skipped[name] = 'repeats obs/ of the next sample'
    elif dataset.shape is None:
        skipped[name] = 'an empty dataset'
    elif dataset.external is not None:
        skipped[name] = f'its values are in another file: {dataset.external[0][0]}'
    elif dataset.is_virtual:
        skipped[name] = 'a virtual dataset: its values are in other files'
    else:
        attributes = {
            key: dataset.attrs[key]
            for key in ('channels', 'units', 'rate_hz')
            if key in dataset.attrs
        }
        found[name] = _Dataset(path, dataset.name, dataset.shape, dataset.dtype, attributes)


def _link_text(link: object) -> str:
    if isinstance(link, h5py.ExternalLink):
        return f'a link to another file, {link.filename}: copy the data into this file'
    if isinstance(link, h5py.SoftLink):
        return f'a link to {link.path}'
    return 'no dataset'
