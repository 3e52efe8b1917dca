"""Damage to the files of a run, generated: each file in each of many broken states."""

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
import yaml

from lipfault.runs.checkpoints import CARD

Damage = Callable[[Path], None]


def _missing(file: Path) -> None:
    file.unlink()


def _empty(file: Path) -> None:
    file.write_bytes(b'')


def _garbage(file: Path) -> None:
    file.write_bytes(b'\x00\x93garbage {[\n' * 40)


def _truncated(file: Path) -> None:
    content = file.read_bytes()
    file.write_bytes(content[: len(content) // 2])


def _latin(file: Path) -> None:
    file.write_bytes('größe: "é"\n'.encode('latin-1') + file.read_bytes())


def _folder(file: Path) -> None:
    file.unlink()
    file.mkdir()


def _loop(file: Path) -> None:
    file.unlink()
    file.symlink_to(file.name)


def _dangling(file: Path) -> None:
    file.unlink()
    file.symlink_to('nowhere')


def _unreadable(file: Path) -> None:
    file.chmod(0)


def _text(content: str) -> Damage:
    return lambda file: file.write_text(content) and None


WHOLE: dict[str, Damage] = {
    'missing': _missing,
    'empty': _empty,
    'garbage': _garbage,
    'truncated': _truncated,
    'latin-1': _latin,
    'a folder': _folder,
    'a link loop': _loop,
    'a dangling link': _dangling,
}
"""Damage to any file."""
if os.geteuid() != 0:  # to whom every file is readable
    WHOLE['unreadable'] = _unreadable

OTHER_TYPES = {'a list': _text('[1, 2]'), 'a number': _text('3'), 'a text': _text('"text"')}
"""Other content of a JSON or YAML file."""


def at(content: Any, path: tuple[Any, ...]) -> Any:
    """Return what is at a path of keys."""
    for key in path:
        content = content[key]
    return content


def paths(content: Any, depth: int, above: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the paths of all entries of nested dictionaries, down to a depth."""
    for key, value in content.items() if isinstance(content, dict) else ():
        yield (*above, key)
        if depth > 1:
            yield from paths(value, depth - 1, (*above, key))


REPLACED: dict[str, Any] = {
    'text': 'text', 'list': [1], 'none': None, 'minus': -1, 'nan': float('nan'), 'map': {'a': 1},
}  # fmt: skip
"""Values of another type or outside every domain, in place of an entry."""


def changes(content: Any, depth: int) -> Iterator[tuple[str, Callable[[Any], None]]]:
    """Yield names and functions that break one entry: removed, replaced, or an unknown one added.

    Args:
        content: Nested dictionaries.
        depth: Largest depth of a broken entry.
    """
    for path in paths(content, depth):
        name = '.'.join(map(str, path))

        def remove(whole: Any, path: tuple[Any, ...] = path) -> None:
            del at(whole, path[:-1])[path[-1]]

        def add(whole: Any, path: tuple[Any, ...] = path) -> None:
            at(whole, path)['unknown_key'] = 1

        yield f'{name} removed', remove
        if isinstance(at(content, path), dict):
            yield f'{name} with an unknown key', add
        for kind, value in REPLACED.items():

            def replace(whole: Any, path: tuple[Any, ...] = path, value: Any = value) -> None:
                at(whole, path[:-1])[path[-1]] = value

            yield f'{name} is {kind}', replace


def in_yaml(change: Callable[[Any], None]) -> Damage:
    """Apply a change to the content of a YAML file."""

    def damage(file: Path) -> None:
        content = yaml.safe_load(file.read_text())
        change(content)
        file.write_text(yaml.safe_dump(content))

    return damage


def in_json(change: Callable[[Any], None]) -> Damage:
    """Apply a change to the content of a JSON file."""

    def damage(file: Path) -> None:
        content = json.loads(file.read_text())
        change(content)
        file.write_text(json.dumps(content))

    return damage


def in_checkpoint(change: Callable[[Any], None]) -> Damage:
    """Apply a change to a checkpoint."""

    def damage(file: Path) -> None:
        content = torch.load(file, weights_only=True)
        change(content)
        torch.save(content, file)

    return damage


def card_changes(checkpoint: dict[str, Any]) -> Iterator[tuple[str, Damage]]:
    """Yield damage to each entry of the card of a checkpoint, down to a modality's fields."""
    for name, change in changes(checkpoint[CARD], depth=4):

        def of_card(content: Any, change: Callable[[Any], None] = change) -> None:
            change(content[CARD])

        yield f'card: {name}', in_checkpoint(of_card)


def _first(content: Any) -> str:
    """Name of a trained matrix."""
    return next(n for n, x in content['state_dict'].items() if n.endswith('weight') and x.dim() > 1)


def _nan_weight(content: Any) -> None:
    content['state_dict'][_first(content)].flatten()[0] = float('nan')


def _inf_weight(content: Any) -> None:
    content['state_dict'][_first(content)].flatten()[0] = float('inf')


def _no_weight(content: Any) -> None:
    del content['state_dict'][_first(content)]


def _other_shape(content: Any) -> None:
    content['state_dict'][_first(content)] = torch.zeros(3)


def _other_dtype(content: Any) -> None:
    found = content['state_dict'][_first(content)]
    content['state_dict'][_first(content)] = torch.zeros(found.shape, dtype=torch.complex64)


def _more_weights(content: Any) -> None:
    content['state_dict']['unknown.weight'] = torch.zeros(2)


def _no_tensor(content: Any) -> None:
    content['state_dict'][_first(content)] = 'text'


def _without(key: str) -> Callable[[Any], None]:
    return lambda content: content.pop(key) and None


def _with(key: str, value: Any) -> Callable[[Any], None]:
    return lambda content: content.update({key: value})


CHECKPOINT: dict[str, Damage] = {
    'NaN weight': in_checkpoint(_nan_weight),
    'infinite weight': in_checkpoint(_inf_weight),
    'a weight missing': in_checkpoint(_no_weight),
    'a weight of another shape': in_checkpoint(_other_shape),
    'a weight of another type': in_checkpoint(_other_dtype),
    'an unknown weight': in_checkpoint(_more_weights),
    'a weight that is text': in_checkpoint(_no_tensor),
    'no card': in_checkpoint(_without(CARD)),
    'no weights': in_checkpoint(_without('state_dict')),
    'card is a list': in_checkpoint(_with(CARD, [1])),
    'weights are a list': in_checkpoint(_with('state_dict', [1])),
}
"""Damage to the content of a checkpoint."""

RESUMED: dict[str, Damage] = {
    f'{key} {kind}': in_checkpoint(change)
    for key in ('loops', 'callbacks', 'optimizer_states', 'lr_schedulers', 'epoch', 'global_step')
    for kind, change in {
        'missing': _without(key), 'is text': _with(key, 'text'), 'is a list': _with(key, [1]),
        'is none': _with(key, None), 'is negative': _with(key, -1),
    }.items()
}  # fmt: skip
"""Damage to what only a resumed training reads."""
