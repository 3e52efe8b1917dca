"""The configurations that lipfault ships, by name."""

import difflib
from importlib.resources import files
from pathlib import Path

from lipfault.errors import LipfaultError

_PACKAGE = 'lipfault'


def shipped_folder() -> Path:
    """Return the folder of the shipped configurations.

    Returns:
        `lipfault/configs` of an installed package, else `configs` of the repository, beside the
        package.

    Raises:
        LipfaultError: If neither is there.
    """
    # An editable install has the files of the repository only.
    package = Path(str(files(_PACKAGE)))
    for folder in (package / 'configs', package.parent / 'configs'):
        if (folder / 'pretrain.yaml').is_file():
            return folder
    raise LipfaultError(f'{package / "configs"}: the shipped configurations are not installed')


def shipped_names() -> list[str]:
    """Return the names of the shipped configurations, such as `pretrain` and `block/paper`."""
    folder = shipped_folder()
    found = [file.relative_to(folder).with_suffix('').as_posix() for file in folder.rglob('*.yaml')]
    return sorted(found, key=lambda name: (name.count('/'), name))


def config_file(given: str) -> str:
    """Return the file that a value of `--config` stands for.

    Args:
        given: Path of a file, name of a shipped configuration, a URL, or the settings themselves.

    Returns:
        `given`, or the path of the shipped configuration of that name. A file of that path has
        precedence.

    Raises:
        LipfaultError: If `given` is neither a file nor a name.
    """
    # A URL or inline YAML has a colon, inline JSON a brace: the parser reads these.
    if any(sign in given for sign in ':{\n') or Path(given).is_file():
        return given
    names = shipped_names()
    if given in names:
        return str(shipped_folder() / f'{given}.yaml')
    # `configs/pretrain.yaml`, given outside the repository, means the name `pretrain`.
    bare = given.removeprefix('configs/').removesuffix('.yaml')
    near = difflib.get_close_matches(bare, names, n=1)
    hint = f'did you mean {near[0]}? ' if near else ''
    raise LipfaultError(
        f'--config {given}: neither a file nor a shipped configuration; {hint}'
        f'There are {", ".join(names)}'
    )
