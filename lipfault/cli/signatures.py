"""Names of the options of classes and functions, read from source files without importing them.

Importing the classes behind the options imports PyTorch and Lightning, which takes several seconds;
parsing their source takes milliseconds. Whatever the source does not settle counts as open: any
name may follow.
"""

import ast
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple, TypeAlias

Options: TypeAlias = dict[str, 'Options | None']
"""Names and what may follow each after a dot; None where anything may follow."""

_Function = ast.FunctionDef | ast.AsyncFunctionDef


class _Found(NamedTuple):
    """A class definition and the module that holds it."""

    module: str
    node: ast.ClassDef


def class_options(path: str) -> Options | None:
    """Return the options of a class.

    Args:
        path: Dotted path of the class.

    Returns:
        Options by name, with those of a parameter that is a dataclass of the same package nested;
        None if the source cannot be found or does not settle the names.
    """
    module, _, name = path.rpartition('.')
    found = _find_class(module, name) if module else None
    return None if found is None else _of_class(found)


def function_options(module: str, name: str, method_of: str | None = None) -> Options | None:
    """Return the options of a function or method.

    Args:
        module: Dotted path of its module.
        name: Its name.
        method_of: Class of a method.

    Returns:
        Options by name; None if the source cannot be found or does not settle the names.
    """
    tree = _parsed(module)
    if tree is None:
        return None
    body = tree.body
    if method_of is not None:
        found = _find_class(module, method_of)
        body = [] if found is None else found.node.body  # an unknown class has no methods
    function = _function(body, name)
    if function is not None:
        return _of_function(module, function)
    for node in body:
        if isinstance(node, ast.ImportFrom) and node.module and not node.level:
            for alias in node.names:
                if (alias.asname or alias.name) == name:
                    return function_options(node.module, alias.name)
    return None


def dictionary_names(module: str, name: str) -> dict[str, str] | None:
    """Return the functions in a dictionary that a module defines.

    Args:
        module: Dotted path of the module.
        name: Name of a dictionary from strings to functions of the module.

    Returns:
        Names of the functions by key; None if the module has no such dictionary.
    """
    tree = _parsed(module)
    for node in [] if tree is None else tree.body:
        target = node.targets[0] if isinstance(node, ast.Assign) else getattr(node, 'target', None)
        value = getattr(node, 'value', None)
        if isinstance(target, ast.Name) and target.id == name and isinstance(value, ast.Dict):
            pairs = zip(value.keys, value.values, strict=True)
            return {
                str(key.value): function.id
                for key, function in pairs
                if isinstance(key, ast.Constant) and isinstance(function, ast.Name)
            }
    return None


def class_names(module: str) -> list[str] | None:
    """Return the names of the classes that a module defines, None if there is no such module."""
    tree = _parsed(module)
    if tree is None:
        return None
    return [node.name for node in tree.body if isinstance(node, ast.ClassDef)]


@cache
def _parsed(module: str) -> ast.Module | None:
    file = _source(module)
    return None if file is None else ast.parse(file.read_text(encoding='utf-8'))


def _source(module: str) -> Path | None:
    """Return the source file of a module; no package is imported, as find_spec would."""
    top, *below = module.split('.')
    try:
        spec = find_spec(top)
    except (ImportError, ValueError):
        return None
    if spec is None:
        return None
    if not below:
        return Path(spec.origin) if spec.origin and spec.origin.endswith('.py') else None
    for folder in spec.submodule_search_locations or ():
        base = Path(folder, *below)
        for file in (base.with_name(f'{base.name}.py'), base / '__init__.py'):
            if file.is_file():
                return file
    return None


def _find_class(module: str, name: str) -> _Found | None:
    """Find a class where a module defines it or imports it from."""
    tree = _parsed(module)
    for node in [] if tree is None else tree.body:
        if isinstance(node, ast.ClassDef) and node.name == name:
            return _Found(module, node)
        if isinstance(node, ast.ImportFrom) and node.module and not node.level:
            for alias in node.names:
                if (alias.asname or alias.name) == name:
                    return _find_class(node.module, alias.name)
    return None


def _of_class(found: _Found) -> Options | None:
    if _is_dataclass(found.node):
        return _with_bases(found, _fields(found))
    init = _function(found.node.body, '__init__')
    if init is not None:
        return _of_function(found.module, init)
    return _with_bases(found, {})


def _with_bases(found: _Found, own: Options) -> Options | None:
    """Add the options of the base classes; None if one of them has no source here."""
    options: Options = {}
    for base in found.node.bases:
        # These have no parameters, and no source to read them from.
        if isinstance(base, ast.Name) and base.id in ('ABC', 'object'):
            continue
        above = _find_class(found.module, base.id) if isinstance(base, ast.Name) else None
        more = None if above is None else _of_class(above)
        if more is None:
            return None
        options |= more
    return options | own


def _fields(found: _Found) -> Options:
    """Return the fields of a dataclass; one too many does no harm."""
    return {
        node.target.id: _nested(found.module, node.annotation)
        for node in found.node.body
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)
    }


def _of_function(module: str, function: _Function) -> Options | None:
    """Return the parameters; None if there is a `**kwargs`, whose names are elsewhere."""
    given = function.args
    if given.kwarg is not None:
        return None
    parameters = [*given.posonlyargs, *given.args, *given.kwonlyargs]
    return {
        parameter.arg: _nested(module, parameter.annotation)
        for parameter in parameters
        if parameter.arg not in ('self', 'cls')
    }


def _nested(module: str, annotation: ast.expr | None) -> Options | None:
    """Return the options of `Config` or `Config | None`; None for any other annotation."""
    members = [annotation]  # of `a | b | c`, which the parser nests as `(a | b) | c`
    while isinstance(members[0], ast.BinOp) and isinstance(members[0].op, ast.BitOr):
        members[:1] = [members[0].left, members[0].right]
    names = [m for m in members if not (isinstance(m, ast.Constant) and m.value is None)]
    if len(names) != 1 or not isinstance(names[0], ast.Name):
        return None
    found = _find_class(module, names[0].id)
    # Dataclasses of this package only: another class may be given as a path or by its subclass.
    ours = found is not None and found.module.split('.')[0] == __name__.split('.')[0]
    return _of_class(found) if found is not None and ours and _is_dataclass(found.node) else None


def _is_dataclass(node: ast.ClassDef) -> bool:
    return any('dataclass' in ast.unparse(decorator) for decorator in node.decorator_list)


def _function(body: list[ast.stmt], name: str) -> _Function | None:
    for node in body:
        if isinstance(node, _Function) and node.name == name:
            return node
    return None
