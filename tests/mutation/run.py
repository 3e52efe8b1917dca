"""Apply each mutation of `mutations.toml` to a copy of the project and run the tests named with it.

python tests/mutation/run.py [NAME ...]

A mutation is caught if a test fails on it within a minute. One that no test catches must state in
`survives` why it is allowed to; the exit status is 1 if another one is left.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import tomllib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
LIST = Path(__file__).with_name('mutations.toml')
SECONDS = 60
"""Time in which the tests of a mutation must have failed; a mutation that hangs is caught."""

STARTING = 600
"""Seconds for the tests of a module on the unchanged project, the slowest machine included."""


@dataclass(frozen=True)
class Mutation:
    """One change of the product's logic.

    Args:
        name: Name of the change, unique.
        file: File, relative to the root.
        old: Text that is replaced; it stands in the file once.
        new: The text in its place.
        tests: Test files or test ids.
        survives: Why no test has to catch it; empty if one must.
    """

    name: str
    file: str
    old: str
    new: str
    tests: tuple[str, ...]
    survives: str = ''

    def mutated(self, root: Path) -> str:
        """The text of the file with the change; a ValueError unless `old` stands in it once."""
        text = (root / self.file).read_text(encoding='utf-8')
        if text.count(self.old) != 1:
            raise ValueError(
                f'{self.name}: {self.old!r} must stand once in {self.file}, it stands '
                f'{text.count(self.old)} times'
            )
        return text.replace(self.old, self.new)


def mutations() -> list[Mutation]:
    """All mutations of the list, in its order."""
    entries = tomllib.loads(LIST.read_text(encoding='utf-8'))['mutation']
    return [Mutation(**{**entry, 'tests': tuple(entry['tests'])}) for entry in entries]


def copied(folder: Path) -> Path:
    """Copy what git tracks, as it is in the working tree, into an empty folder."""
    listed = subprocess.run(
        ['git', 'ls-files', '-z'], cwd=ROOT, check=True, capture_output=True, text=True
    ).stdout
    for name in filter(None, listed.split('\0')):
        source, target = ROOT / name, folder / name
        if not source.exists():  # deleted, not committed
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_symlink():
            target.symlink_to(source.readlink())
        else:
            shutil.copyfile(source, target)
    return folder


def fails(root: Path, tests: tuple[str, ...], seconds: float) -> bool:
    """Whether a test fails in this copy, or none has ended after this time."""
    command = [sys.executable, '-m', 'pytest', '-x', '-q', '--tb=no', '-p', 'no:cacheprovider']
    settings = os.environ | {
        'PYTHONPATH': str(root),
        'OMP_NUM_THREADS': '1',
        'PYTHONDONTWRITEBYTECODE': '1',
    }
    try:
        done = subprocess.run(
            [*command, *tests], cwd=root, env=settings, capture_output=True, timeout=seconds
        )
    except subprocess.TimeoutExpired:
        return True
    if done.returncode not in (0, 1):
        raise RuntimeError(f'{" ".join(tests)}:\n{done.stdout.decode()}{done.stderr.decode()}')
    return done.returncode == 1


def caught(mutation: Mutation, root: Path) -> bool:
    """Whether the tests catch a mutation in this copy; the copy is restored."""
    file = root / mutation.file
    text, changed = file.read_text(encoding='utf-8'), mutation.mutated(root)
    try:
        file.write_text(changed, encoding='utf-8')
        return fails(root, mutation.tests, SECONDS)
    finally:
        file.write_text(text, encoding='utf-8')


def examine(share: list[Mutation]) -> dict[str, bool]:
    """Whether each of these mutations is caught, tried one after the other in one copy."""
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        root = copied(Path(folder))
        for tests in {mutation.tests for mutation in share}:
            if fails(root, tests, STARTING):
                raise RuntimeError(f'{" ".join(tests)}: fails without a mutation')
        for mutation in share:
            found[mutation.name] = caught(mutation, root)
            state = 'caught' if found[mutation.name] else mutation.survives or 'NOT CAUGHT'
            print(f'{mutation.name}: {state}', flush=True)
    return found


def main(names: list[str], jobs: int) -> int:
    """Examine the mutations of these names, or all; return the exit status."""
    chosen = [m for m in mutations() if not names or m.name in names]
    # Those of one file of tests together: its first run without a mutation is made once.
    chosen.sort(key=lambda mutation: mutation.tests)
    size = -(-len(chosen) // jobs)
    shares = [chosen[start : start + size] for start in range(0, len(chosen), size)]
    with ThreadPoolExecutor(jobs) as pool:
        found = {name: it for share in pool.map(examine, shares) for name, it in share.items()}
    left = [m.name for m in chosen if not found[m.name] and not m.survives]
    print(f'{sum(found.values())} of {len(found)} mutations caught')
    for name in left:
        print(f'no test catches: {name}', file=sys.stderr)
    return int(bool(left) or not chosen)


if __name__ == '__main__':
    sys.exit(main(sys.argv[1:], int(os.environ.get('JOBS', '2'))))
