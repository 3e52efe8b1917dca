"""The import table of docs/architecture.md and the limits of the house style hold."""

import ast
import importlib
import io
import re
import runpy
import subprocess
import sys
import tokenize
from collections.abc import Iterable, Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / 'lipfault'
PATHS = sorted(PACKAGE.rglob('*.py'))
NAMES = [path.relative_to(ROOT).as_posix() for path in PATHS]
HEAVY = {
    'av',
    'h5py',
    'jinja2',
    'lightning',
    'matplotlib',
    'mcap',
    'mcap_ros2',
    'mujoco',
    'optuna',
    'pyarrow',
    'pytorch_lightning',
    'rosbags',
    'torchmetrics',
    'wandb',
    'wandb_workspaces',
    'zarr',
}
LAZY = [
    'import lazy_loader',
    '__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)',
]
MOST_LINES = 250
LONGEST_CHAIN = 8


def dotted(path: Path) -> str:
    """`lipfault/faults/labels.py` as `lipfault.faults.labels`."""
    parts = path.relative_to(ROOT).with_suffix('').parts
    return '.'.join(parts[:-1] if parts[-1] == '__init__' else parts)


def imports_of(nodes: Iterable[ast.AST], modules: set[str]) -> set[str]:
    """Dotted names that these statements import, those of the package down to the module."""
    found = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f'line {node.lineno}: relative import'
            below = {f'{node.module}.{alias.name}' for alias in node.names}
            found |= {name if name in modules else str(node.module) for name in below}
    return found


def rows() -> Iterator[tuple[list[str], set[str]]]:
    """(files and folders, what they may import) of each row of the table, from its top."""
    text = (ROOT / 'docs/architecture.md').read_text()
    for line in re.findall(r'^\| `.*\|$', text, flags=re.MULTILINE):
        where, _, allowed = line.strip('|').split(' | ')
        places = [place.removeprefix('lipfault/') for place in re.findall(r'`([^`]+)`', where)]
        yield places, set(re.findall(r'\w+', re.sub(r'\(.*?\)', '', allowed)))


def layer(module: str) -> int:
    """Row of the table that a module of the package belongs to; the longest match wins."""
    path = module.removeprefix('lipfault.').replace('.', '/')
    fits = [
        (len(place), number)
        for number, (places, _) in enumerate(rows())
        for place in places
        if path == place.removesuffix('.py') or f'{path}/'.startswith(place)
    ]
    assert fits, f'{module} is in no row of docs/architecture.md'
    return max(fits)[1]


TREES = {dotted(path): ast.parse(path.read_text()) for path in PATHS}
GRAPH = {name: imports_of(ast.walk(tree), set(TREES)) for name, tree in TREES.items()}
OWN = {name: found & set(TREES) for name, found in GRAPH.items()}
TABLE = list(rows())


def test_table_is_read() -> None:
    assert len(TABLE) > 5
    assert layer('lipfault.faults.labels') == 0 < layer('lipfault.faults.engine')


@pytest.mark.parametrize('name', sorted(set(TREES) - {'lipfault'}))
def test_imports_follow_the_table(name: str) -> None:
    here = layer(name)
    allowed = TABLE[here][1]
    if 'all' in allowed:
        return
    for other in OWN[name] - {'lipfault'}:
        there = layer(other)
        assert there <= here, f'{name} imports {other}, which is further down in the table'
        folder = other.split('.')[1]
        assert there in (0, here) or folder in allowed, f'{name} may not import {folder}: {other}'
    heavy = {found.split('.')[0] for found in GRAPH[name]} & HEAVY
    assert heavy <= allowed, f'{name} may not import {sorted(heavy - allowed)}'


def test_no_module_imports_a_package_front_door() -> None:
    packages = {dotted(path) for path in PATHS if path.name == '__init__.py'} - {'lipfault'}
    assert {name: found & packages for name, found in OWN.items() if found & packages} == {}


def test_imports_have_no_rings_and_short_chains() -> None:
    try:
        order = list(TopologicalSorter(OWN).static_order())
    except CycleError as error:
        pytest.fail(f'import ring: {" -> ".join(error.args[1])}')
    chains: dict[str, list[str]] = {}
    for name in order:
        chains[name] = [name, *max((chains[other] for other in OWN[name]), key=len, default=[])]
    longest = max(chains.values(), key=len)
    assert len(longest) <= LONGEST_CHAIN, f'{len(longest)} modules: {" > ".join(longest)}'


@pytest.mark.parametrize('path', [p for p in PATHS if p.name == '__init__.py'], ids=dotted)
def test_front_doors_hold_docstrings_only(path: Path) -> None:
    """A package with a public surface also attaches the names of its stub, lazily."""
    tree = TREES[dotted(path)]
    rest = [ast.unparse(node) for node in tree.body[1:]]
    assert ast.get_docstring(tree)
    if path.parent == PACKAGE:
        rest = [line for line in rest if '__version__' not in line]
    assert rest == (LAZY if path.with_suffix('.pyi').exists() else [])


STUBS = {dotted(path.with_suffix('.py')): path for path in sorted(PACKAGE.rglob('__init__.pyi'))}


def names_of(stub: Path) -> list[str]:
    """Names that a stub imports for its package."""
    imports = [n for n in ast.parse(stub.read_text()).body if isinstance(n, ast.ImportFrom)]
    return [alias.name for node in imports for alias in node.names]


@pytest.mark.parametrize('package', STUBS)
def test_lazy_names_resolve_and_are_documented(package: str) -> None:
    module, names = importlib.import_module(package), names_of(STUBS[package])
    assert sorted(module.__all__) == sorted(set(names))
    for name in names:
        value = getattr(module, name)
        assert (value.__doc__ or '').strip(), f'{package}.{name} has no docstring'


@pytest.mark.parametrize('package', STUBS)
def test_stubs_declare_all_names(package: str) -> None:
    (declared,) = (
        ast.literal_eval(node.value)
        for node in ast.parse(STUBS[package].read_text()).body
        if isinstance(node, ast.Assign)
    )
    assert sorted(declared) == sorted(names_of(STUBS[package]))


@pytest.mark.parametrize('package', STUBS)
def test_lazy_packages_import_without_torch(package: str) -> None:
    code = f'import sys, {package}; sys.exit("torch" in sys.modules)'
    assert subprocess.run([sys.executable, '-c', code], cwd=ROOT).returncode == 0


@pytest.mark.parametrize('name', sorted(TREES))
def test_no_asserts_and_no_prints(name: str) -> None:
    for node in ast.walk(TREES[name]):
        called = node.func if isinstance(node, ast.Call) else None
        assert not isinstance(node, ast.Assert), f'line {node.lineno}: assert'
        assert not (isinstance(called, ast.Name) and called.id == 'print'), called.lineno


def code_lines(text: str) -> int:
    """Lines that hold code; blank lines, comments and docstrings do not count."""
    layout = {
        getattr(tokenize, kind)
        for kind in ('COMMENT', 'NL', 'NEWLINE', 'INDENT', 'DEDENT', 'ENDMARKER')
    }
    lines: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type not in layout:
            lines.update(range(token.start[0], token.end[0] + 1))
    scopes = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, scopes) and ast.get_docstring(node) is not None:
            lines -= set(range(node.body[0].lineno, node.body[0].end_lineno + 1))
    return len(lines)


def test_code_lines_leave_out_docstrings_and_comments() -> None:
    assert code_lines('"""One.\n\nTwo."""\n\n# three\nx = (\n    1\n)\n') == 3


@pytest.mark.parametrize('path', PATHS, ids=NAMES)
def test_modules_are_small(path: Path) -> None:
    assert code_lines(path.read_text()) <= MOST_LINES


def test_the_picture_of_the_house_is_that_of_the_code() -> None:
    picture = runpy.run_path(str(ROOT / 'docs/images/make_house.py'))
    assert (ROOT / 'docs/images/house.svg').read_text() == picture['draw']()
    rooms = {name.split('.')[1] for name in TREES if name != 'lipfault'}
    drawn = {name for floor in picture['FLOORS'] for name, _ in floor}
    assert rooms - drawn == {'__main__', 'batch', 'domains', 'errors', 'losses'}
    imported = {
        (name.split('.')[1], other.split('.')[1])
        for name, found in OWN.items()
        for other in found - {'lipfault'}
        if name != 'lipfault'
    }
    assert set(picture['ARROWS']) <= imported
