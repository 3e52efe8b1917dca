"""Names of the modules whose forward pass is running, for error messages of propagation rules."""

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn

_MODULE_STACK: list[str] = []
"""Labels of the modules whose forward pass is running, the innermost last."""


def location() -> str:
    """Return the label of the innermost running module, to start an error message with."""
    return f'module {_MODULE_STACK[-1]}:' if _MODULE_STACK else 'outside of any module:'


@contextmanager
def tracked_modules(module: nn.Module | None) -> Iterator[None]:
    """Keep the labels of running submodules for `location`, by forward hooks.

    Args:
        module: Module whose submodules are named; `None` names none.

    Yields:
        Nothing.
    """
    handles = []
    for name, part in [] if module is None else module.named_modules():
        label = f'{name!r} ({type(part).__name__})'
        handles.append(part.register_forward_pre_hook(lambda *_, n=label: _MODULE_STACK.append(n)))
        handles.append(part.register_forward_hook(lambda *_: _pop_module(), always_call=True))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
        _MODULE_STACK.clear()


def _pop_module() -> None:
    if _MODULE_STACK:
        _MODULE_STACK.pop()
