"""A damaged checkpoint is refused by name, whatever is damaged in it; never with a traceback."""

import contextlib
import copy
import dataclasses
import math

import pytest
import torch
from test_settings import STEPS, build, stage_one  # noqa: F401, the fixture builds stage 2

from lipfault.errors import LipfaultError
from lipfault.models.autoencoder.autoencoder import CoderConfig
from lipfault.models.blocks.interface.config import BlockConfig
from lipfault.models.relations.relations import RelationsConfig
from lipfault.runs.checkpoints import CARD
from lipfault.runs.folder import CONFIG_NAME
from lipfault.tasks.base import check_card
from lipfault.tasks.card import Description, sizes_from
from lipfault.tasks.pretrained import load_pretrained
from lipfault.tasks.trained import trained_task

REPLACED = {
    'text': 'text', 'list': [1], 'empty list': [], 'none': None, 'minus': -1, 'zero': 0,
    'nan': math.nan, 'inf': math.inf, 'huge': 1e308, 'map': {'a': 1},
}  # fmt: skip
"""Values of another type or outside every domain."""


def paths(content, above=()):
    """Paths of all entries of nested dictionaries."""
    for key, value in content.items() if isinstance(content, dict) else ():
        yield (*above, key)
        yield from paths(value, (*above, key))


def damaged(content):
    """(name, copy of nested dictionaries in which one entry is removed, replaced or added)."""
    for path in paths(content):
        for kind in ('removed', 'unknown', *REPLACED):
            whole = copy.deepcopy(content)
            inside = whole
            for key in path[:-1]:
                inside = inside[key]
            if kind == 'removed':
                del inside[path[-1]]
            elif kind != 'unknown':
                inside[path[-1]] = copy.deepcopy(REPLACED[kind])
            elif isinstance(inside[path[-1]], dict):
                inside[path[-1]]['unknown_key'] = 1
            yield f'{".".join(map(str, path))} {kind}', whole


def refused(read):
    """Whether reading raises an error for the user; any other error fails the test."""
    with contextlib.suppress(LipfaultError):
        read()
        return False
    return True


def test_a_description_is_whole_or_refused(tiny_modalities):
    description = Description(tiny_modalities, STEPS).to_dict()
    outcomes = {
        name: refused(lambda read=read: Description.from_dict(read))
        for name, read in damaged(description)
    }
    assert len(outcomes) > 300
    for name in ('modalities removed', 'steps list', 'steps.force removed', 'steps.force zero',
                 'modalities.camera.size empty list', 'modalities.joints.noise text',
                 'modalities.joints.rate_hz nan', 'modalities none', 'modalities map'):  # fmt: skip
        assert outcomes[name], name
    assert not outcomes['modalities.joints.chain removed']  # as in files of earlier versions


@pytest.mark.parametrize('kind', [BlockConfig, CoderConfig, RelationsConfig])
def test_sizes_are_inside_their_domain_or_refused(kind):
    card = {'part': dataclasses.asdict(kind())}
    for name, found in damaged(card):
        is_refused = refused(lambda found=found: sizes_from(kind, found, 'part'))
        field, _, how = name.removeprefix('part.').partition(' ')
        if how in ('nan', 'inf', 'huge', 'minus', 'zero') and field not in ('kind', 'part'):
            assert is_refused, name
    for broken in ({}, {'part': None}, {'part': {'unknown_key': 1}}):
        with pytest.raises(LipfaultError, match='part'):
            sizes_from(kind, broken, 'part')


def test_lists_of_a_card_become_tuples():
    assert sizes_from(CoderConfig, {'coder': {'image_widths': [4, 6]}}, 'coder') == CoderConfig(
        image_widths=(4, 6)
    )


def test_a_card_of_other_types_is_refused(tiny_modalities):
    card = stage_one(tiny_modalities).card()
    for _, found in damaged({k: card[k] for k in ('stage', 'description')}):
        refused(lambda found=found: check_card(found, card, 'a.ckpt'))
    for broken in ({'stage': 'pretrain'}, {'stage': 'pretrain', 'description': []}):
        with pytest.raises(LipfaultError, match=r'card of a\.ckpt is damaged'):
            check_card(broken, card, 'a.ckpt')


def weight(state, part):
    return next(n for n, x in state.items() if n.startswith(part) and x.dim() > 1)


BROKEN = {
    'NaN': (lambda x: x.fill_(math.nan), 'finite'),
    'infinite': (lambda x: x.fill_(-math.inf), 'finite'),
    'of another shape': (lambda x: x[:1, :1], 'fit'),
    'complex': (lambda x: x.to(torch.complex64), 'fit|finite'),
    'text': (lambda x: 'text', 'must hold tensors'),
    'missing': (lambda x: None, 'fit'),
}


@pytest.mark.parametrize('damage', BROKEN)
@pytest.mark.parametrize('part', ['autoencoder.', 'block.detector.', 'block.relations.'])
def test_broken_weights_are_refused(build, tmp_path, damage, part):  # noqa: F811
    task = build()
    task.threshold.fill_(0.0)
    state = {name: value.clone() for name, value in task.state_dict().items()}
    change, reason = BROKEN[damage]
    name = weight(state, part)
    changed = change(state[name])
    state = {n: changed if n == name else x for n, x in state.items()}
    if changed is None:
        del state[name]
    file = tmp_path / 'run' / 'checkpoints' / 'best.ckpt'
    file.parent.mkdir(parents=True)
    torch.save({CARD: task.card(), 'state_dict': state}, file)
    (tmp_path / 'run' / CONFIG_NAME).write_text('model: {init_args: {}}')
    with pytest.raises(LipfaultError, match=reason) as raised:
        trained_task(str(tmp_path / 'run'))
    assert name.split('.', 2 if part == 'block.relations.' else 1)[-1] in str(raised.value)
    with pytest.raises(LipfaultError, match='fit' if isinstance(changed, str) else 'fit|finite'):
        task.check_checkpoint({CARD: task.card(), 'state_dict': state})


def test_a_broken_stage_one_is_refused(tiny_modalities, tmp_path):
    task = stage_one(tiny_modalities)
    description, file = Description(tiny_modalities, STEPS), tmp_path / 'first.ckpt'

    def load(card, state):
        torch.save({CARD: card, 'state_dict': state}, file)
        return load_pretrained(str(file), description, lambda autoencoder, relations: relations())

    card, state = task.card(), task.state_dict()
    load(card, state)
    for key in ('coder', 'relations', 'train_split', 'description', 'stage'):
        with pytest.raises(LipfaultError, match=r'damaged|stage'):
            load({k: v for k, v in card.items() if k != key}, state)
    for key, value in (('train_episodes', 3), ('train_episodes', [1]), ('train_split', None)):
        with pytest.raises(LipfaultError, match=r'first\.ckpt: .*train_episodes a list'):
            load(card | {key: value}, state)
    name = weight(state, 'relations.')
    with pytest.raises(LipfaultError, match=f'finite numbers in {name}'):
        load(card, state | {name: torch.full_like(state[name], math.nan)})


@pytest.mark.parametrize(
    'text',
    ['', '[1]', '3', 'text', 'model: 3', 'model: {init_args: []}', 'a: [',
     'model: {init_args: {config: x}}', 'model: {init_args: {config: {modulation: 3}}}', '\x00',
     'model: !!python/name:os.x',
     'model: {init_args: {config: {modulation: {corrector.*: {mode: cup, target: 3.0}}}}}'],
)  # fmt: skip
def test_a_configuration_of_other_types_is_refused(build, tmp_path, text):  # noqa: F811
    task = build()
    file = tmp_path / 'run' / 'checkpoints' / 'best.ckpt'
    file.parent.mkdir(parents=True)
    torch.save({CARD: task.card(), 'state_dict': task.state_dict()}, file)
    settings = tmp_path / 'run' / CONFIG_NAME
    settings.write_text(text)
    assert refused(lambda: trained_task(str(tmp_path / 'run')))
    settings.unlink()
    settings.mkdir()
    with pytest.raises(LipfaultError, match=CONFIG_NAME):
        trained_task(str(tmp_path / 'run'))
