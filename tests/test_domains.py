"""Every number of every configuration has a domain, which parser and constructors enforce."""

import dataclasses
import importlib
import inspect
import math
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints

import jsonargparse
import pytest
import yaml
from annotated_types import Interval
from hypothesis import given
from hypothesis import strategies as st

from lipfault.cli.commands import COMMANDS
from lipfault.cli.error_messages import user_error
from lipfault.cli.trainer_settings import DOMAINS, check_trainer, trainer_errors
from lipfault.data.datamodule import RecordingDataModule
from lipfault.domains import Positive, Width, require, validated
from lipfault.errors import LipfaultError
from lipfault.tasks.finetune import FinetuneTask
from lipfault.tasks.pretrain import PretrainTask

ROOT = Path(__file__).parents[1]
FILES = sorted([*(ROOT / 'configs').rglob('*.yaml'), *(ROOT / 'experiments').rglob('*.yaml')])
TRIED: tuple[Any, ...] = (0, -1, 1, 0.5, math.nan, math.inf, -math.inf, 1e308, 10**40, 'text', True)


def named(path: str) -> Any:
    module, _, name = path.rpartition('.')
    return getattr(importlib.import_module(module), name)


def classes(value: Any) -> set[str]:
    """Class paths in a configuration, at any depth."""
    if isinstance(value, list):
        return set().union(*map(classes, value))
    if not isinstance(value, dict):
        return set()
    own = {value['class_path']} if 'class_path' in value else set()
    return own.union(*map(classes, value.values()))


def shipped() -> set[Any]:
    """Classes of lipfault in the shipped configurations, and the data module."""
    paths = set().union(*(classes(yaml.safe_load(file.read_text())) for file in FILES))
    return {RecordingDataModule, *(named(p) for p in paths if p.startswith('lipfault.'))}


def commands() -> set[Any]:
    """Functions of the commands that are no stages."""
    loaded = [command.load() for command in COMMANDS.values() if not command.stage]
    return {f for found in loaded for f in (found.values() if isinstance(found, dict) else [found])}


def leaves(hint: Any) -> list[Any]:
    """Annotations inside an annotation that hold no others; Annotated is one."""
    if get_origin(hint) is Annotated or not get_args(hint):
        return [hint]
    return [leaf for member in get_args(hint) for leaf in leaves(member)]


def parameters(owner: Any) -> dict[str, Any]:
    function = owner.__init__ if inspect.isclass(owner) else owner
    found = get_type_hints(function, include_extras=True)
    return {name: hint for name, hint in found.items() if name != 'return'}


def owners() -> list[Any]:
    """Every class and function with settings, those of nested dataclasses included."""
    todo, found = [*shipped(), *commands()], {}
    while todo:
        owner = todo.pop()
        if owner in found.values():
            continue
        found[f'{owner.__module__}.{owner.__qualname__}'] = owner
        for hint in parameters(owner).values():
            nested = (leaf for leaf in leaves(hint) if inspect.isclass(leaf))
            todo += [leaf for leaf in nested if dataclasses.is_dataclass(leaf)]
    return [found[name] for name in sorted(found)]


OWNERS = owners()
NUMBERS = [
    pytest.param(owner, name, hint, id=f'{owner.__qualname__}.{name}')
    for owner in OWNERS
    for name, hint in parameters(owner).items()
    if any(get_origin(leaf) is Annotated for leaf in leaves(hint))
]


def test_the_walk_finds_the_settings():
    assert {PretrainTask, FinetuneTask, RecordingDataModule} <= set(OWNERS)
    ids = {param.id for param in NUMBERS}
    assert {'OptimizerConfig.lr', 'BlockConfig.local_widths', 'FaultConfig.damage'} <= ids
    assert {'SpectralNormMonitor.every', 'sweep.trials', 'simulate.episode_s'} <= ids
    assert len(ids) > 70


@pytest.mark.parametrize('owner', OWNERS, ids=lambda owner: owner.__qualname__)
def test_every_number_declares_its_domain(owner):
    mapped = {'severities': int}  # keys of a dictionary, checked by FaultConfig itself
    for name, hint in parameters(owner).items():
        bare = {leaf for leaf in leaves(hint) if leaf in (int, float)} - {mapped.get(name)}
        assert not bare, f'{owner.__qualname__}.{name}: {bare} without a domain'
        for leaf in leaves(hint):
            if get_origin(leaf) is Annotated:
                interval = leaf.__metadata__[0]
                assert isinstance(interval, Interval)
                low = interval.gt if interval.ge is None else interval.ge
                high = interval.lt if interval.le is None else interval.le
                assert math.isfinite(low)
                assert math.isfinite(high)


def allowed(value: Any, hint: Any) -> bool:
    """Whether a number is inside a domain, from its declaration."""
    if get_origin(hint) in (Union, UnionType):
        return any(allowed(value, member) for member in get_args(hint))
    if get_origin(hint) is not Annotated:
        return hint is str and isinstance(value, str)
    kind, interval = hint.__origin__, hint.__metadata__[0]
    if isinstance(value, bool | str) or (kind is int and not isinstance(value, int)):
        return False
    above = value > interval.gt if interval.ge is None else value >= interval.ge
    return above and (value < interval.lt if interval.le is None else value <= interval.le)


def placed(value: Any, hint: Any) -> tuple[Any, Any]:
    """A value in the container of an annotation, and the annotation of the number itself."""
    if get_origin(hint) in (Union, UnionType):
        hint = next(m for m in get_args(hint) if any(get_origin(x) is Annotated for x in leaves(m)))
    if get_origin(hint) is Annotated:
        return value, hint
    inside, number = placed(value, get_args(hint)[-1 if get_args(hint)[-1] is not ... else 0])
    if get_origin(hint) in (list, tuple):
        return [inside], number
    return {1 if get_args(hint)[0] is int else 'name': inside}, number


@pytest.mark.parametrize(('owner', 'name', 'hint'), NUMBERS)
def test_parser_and_constructor_agree_with_the_declaration(owner, name, hint):
    parser = jsonargparse.ArgumentParser(exit_on_error=False)
    parser.add_argument(f'--{name}', type=hint)
    for value in TRIED:
        given_value, number = placed(value, hint)
        fits = allowed(value, number)
        word = yaml.safe_dump(given_value, default_flow_style=True).splitlines()[0]
        for parse, argument in (
            (parser.parse_object, {name: given_value}),
            (parser.parse_args, [f'--{name}={word}']),
        ):
            try:
                found = parse(argument)[name]
            except Exception as error:
                message = str(user_error(error))
                assert not fits, f'{value!r} is inside: {message}'
                assert message.startswith(f'{name}: ')
                assert '\n' not in message
                assert len(message) < 400
            else:
                assert fits, f'{value!r} is outside: {found!r}'
                assert type(list_of(found)) in (int, float, str)
        if inspect.isclass(owner) and not fits:
            refused = rf'^{owner.__name__}\.{name}(\[.*\])?: must be .*, got '
            with pytest.raises(LipfaultError, match=refused) as raised:
                owner(**required(owner, name) | {name: given_value})
            assert '\n' not in str(raised.value)
        elif inspect.isclass(owner):
            require(given_value, hint, name)


def list_of(value: Any) -> Any:
    """The number in a list or dictionary."""
    while isinstance(value, list | tuple | dict):
        value = next(iter(value.values() if isinstance(value, dict) else value))
    return value


def required(owner: Any, name: str) -> dict[str, str]:
    """Empty arguments where there is no default: the constructor itself is not reached."""
    found = inspect.signature(owner).parameters.items()
    return {n: '' for n, p in found if p.default is inspect.Parameter.empty and n != name}


@pytest.mark.parametrize('name', DOMAINS)
def test_the_trainer_has_domains(name):
    for value in (0, -1, -2, math.nan, math.inf, 1e308, 0.5):
        fits = any(
            allowed(value, m) or value in get_args(m) for m in get_args(DOMAINS[name])
        ) or allowed(value, DOMAINS[name])
        if fits:
            check_trainer({name: value}, 'lipfault.tasks.pretrain.PretrainTask')
            continue
        with pytest.raises(LipfaultError, match=rf'^trainer\.{name}: must be .*, got '):
            check_trainer({name: value}, 'lipfault.tasks.pretrain.PretrainTask')


@pytest.mark.parametrize(
    'setting', [{'barebones': True}, {'fast_dev_run': True}, {'fast_dev_run': 3},
                {'enable_checkpointing': False}]
)  # fmt: skip
def test_switches_that_leave_no_run_are_refused(setting):
    with pytest.raises(LipfaultError, match=rf'^trainer\.{next(iter(setting))}: must not be'):
        check_trainer(setting, 'lipfault.tasks.pretrain.PretrainTask')
    check_trainer({'fast_dev_run': False, 'barebones': False, 'enable_checkpointing': None}, 'x.Y')


def test_clipping_by_the_trainer_is_refused_in_stage_two():
    setting = {'gradient_clip_val': 1.0}
    check_trainer(setting, 'lipfault.tasks.pretrain.PretrainTask')
    with pytest.raises(LipfaultError, match=r'no effect in stage 2.*give model\.config\.clip'):
        check_trainer(setting, 'lipfault.tasks.finetune.FinetuneTask')


@given(st.from_type(Positive))
def test_what_is_declared_is_accepted(value):
    require(value, Positive, 'number')


def test_numbers_of_numpy_and_wrong_calls():
    import numpy as np

    @validated
    class Layer:
        def __init__(self, width: Width, rates: list[Positive] | None = None) -> None:
            self.width = width

    assert Layer(np.int64(3)).width == 3
    with pytest.raises(LipfaultError, match=r'Layer\.rates\[1\]: must be above 0 .*, got 0\.0'):
        Layer(1, rates=[np.float32(1), 0.0])
    with pytest.raises(LipfaultError, match=r'Layer\.rates: must be a list, got 3'):
        Layer(1, rates=3)
    with pytest.raises(LipfaultError, match=r'got a number of about 10\^4816'):
        Layer(1 << 16000)
    with pytest.raises(TypeError, match='width'):
        Layer()


@pytest.mark.parametrize('error', [ValueError("no device\n 'x'"), TypeError('devices')])
def test_errors_of_building_the_trainer_are_one_line(error):
    with (
        pytest.raises(LipfaultError, match=r"^trainer: (no device 'x'|devices)$"),
        trainer_errors(),
    ):
        raise error
