"""What a run was made with: versions, command and data, and what of it has changed since."""

import os
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from lipfault.runs.config_diff import config_diff
from lipfault.runs.fingerprint import changed_files, fingerprint
from lipfault.runs.layout import RunFolder
from lipfault.runs.reading import read_json

PACKAGES = ('lipfault', 'torch', 'lightning', 'torchmetrics', 'numpy', 'h5py', 'jsonargparse')
"""Packages whose version changes the numbers of a run."""


def package_versions() -> dict[str, str]:
    """Return the installed version of each of `PACKAGES`."""
    return {name: _version(name) for name in PACKAGES}


def data_files(paths: str | Iterable[str]) -> dict[str, dict[str, Any]]:
    """Return the fingerprints of the data of a run.

    Args:
        paths: One path or several.

    Returns:
        Fingerprint by path, `~` for the home folder.
    """
    listed = [paths] if isinstance(paths, str) else list(paths)
    return {_without_home(str(path)): fingerprint(Path(path)) for path in listed}


def environment_changes(run: Path, paths: str | Iterable[str]) -> list[str]:
    """Compare versions and data with those of the part of a run that is resumed.

    Args:
        run: The run folder.
        paths: Data of the resumed part.

    Returns:
        One phrase for each change; none if the run has no record of them.
    """
    file = RunFolder(run).environment
    if not file.is_file():
        return []
    before = read_json(file)
    packages, files = before.get('packages'), before.get('data')
    changed: list[str] = []
    if isinstance(packages, dict):
        now = package_versions()
        known = {name: found for name, found in packages.items() if name in now}
        changed += config_diff(known, {name: now[name] for name in known})
    if isinstance(files, dict):
        changed += changed_files(files, data_files(paths))
    return changed


def without_home(words: Iterable[str]) -> list[str]:
    """Return the words of a command without the home folder of the user.

    Args:
        words: Words of a command line, the program first.

    Returns:
        The words with the name of the program, and `~` for the home folder.
    """
    program, *rest = words
    name = 'lipfault' if Path(program).stem == '__main__' else Path(program).name
    return [name, *map(_without_home, rest)]


def _without_home(text: str) -> str:
    home = os.path.expanduser('~')
    # A home of `/`, as in some containers, is in every path and no secret.
    return text.replace(home, '~') if len(home) > 1 else text


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return 'not installed'
