"""Settings and checkpoints that do not fit are refused by name before anything is trained."""

import copy
import dataclasses
import re
from pathlib import Path

import pytest
import torch
import yaml

from lipfault.cli.lightning import settings
from lipfault.errors import LipfaultError
from lipfault.lipschitz.modulation.modulation import modulated
from lipfault.models.autoencoder.sizes import CoderConfig
from lipfault.models.blocks.interface.config import BlockConfig
from lipfault.models.relations.relations import RelationsConfig
from lipfault.runs.checkpoints import CARD
from lipfault.runs.folder import CONFIG_NAME
from lipfault.tasks.base import Description, OptimizerConfig, check_card, log_changed_ranges
from lipfault.tasks.finetune import FinetuneTask
from lipfault.tasks.finetune_config import FinetuneConfig
from lipfault.tasks.pretrain import PretrainTask
from lipfault.tasks.trained import trained_task

ROOT = Path(__file__).parents[2]
STEPS = {'joints': 32, 'force': 64}
SIZES = {'corrector_width': 32, 'detector_width': 24, 'embedding': 8}
WIDTHS = {'series': 8, 'image': 8}


def stage_one(modalities, steps=STEPS, optimizer=None):
    """Stage 1 that has seen nothing."""
    return PretrainTask(
        Description(modalities, steps).to_dict(),
        CoderConfig(4, (4, 6), 6, 2, 8),
        RelationsConfig(width=16, depth=2, channels=6, grid=4, patches=(4,)),
        optimizer,
    )


def save(task, file):
    file.parent.mkdir(parents=True, exist_ok=True)
    torch.save({CARD: task.card(), 'state_dict': task.state_dict()}, file)
    return str(file)


@pytest.fixture
def build(tiny_modalities, tmp_path):
    """Builds stage 2 on a stage 1 that has seen nothing."""

    def built(kind='fault_map', lr_scale=None, steps=STEPS, modalities=tiny_modalities, **config):
        first = save(stage_one(tiny_modalities, steps), tmp_path / 'first.ckpt')
        return FinetuneTask(
            Description(modalities, steps).to_dict(),
            pretrained=first,
            block=BlockConfig(kind, **SIZES, local_widths=WIDTHS),
            config=FinetuneConfig(**config),
            optimizer=OptimizerConfig(lr_scale=lr_scale or {}),
        )

    return built


def test_a_rate_for_nothing_is_refused_with_what_there_is(build):
    task = build(lr_scale={'block.parts.*.locator.*': 2.0, 'block.locatrs.*': 50.0})
    with pytest.raises(LipfaultError, match=r"'block\.locatrs\.\*' .*block\.parts\.joints\.\*"):
        task.check_settings()
    build(lr_scale={'block.parts.*.locator.*': 2.0}).check_settings()


def test_stage_one_tells_of_rates_for_nothing(tiny_modalities):
    patterns = {'*.coders.nose.*': 12.0, '*.coders.*': 0.2, 'relations.*': 4.0}
    task = stage_one(tiny_modalities, optimizer=OptimizerConfig(lr_scale=patterns))
    task.check_settings()
    assert task.unmatched() == ['*.coders.nose.*']
    assert 'autoencoder.coders.camera.*' in task.unmatched_message('*.coders.nose.*')


def test_clipping_of_nothing_is_refused_with_what_there_is(build):
    task = build(clip={'block.corrector': 1.0, 'block.corector': 1.0})
    with pytest.raises(LipfaultError, match=r"'block\.corector'.*block\.corrector"):
        task.check_settings()


OVERLAYS = sorted((ROOT / 'configs' / 'block').glob('*.yaml'))


@pytest.mark.parametrize('overlay', [None, *OVERLAYS], ids=lambda file: file and file.stem)
def test_shipped_rates_and_clipping_are_for_what_there_is(overlay, build):
    files = [ROOT / 'configs' / 'finetune.yaml', *([overlay] if overlay else [])]
    found = settings(['fit', *(arg for file in files for arg in ('--config', str(file)))])
    given = found['model']['init_args']
    kind = given['block']['kind']
    if kind == 'kalman':
        pytest.importorskip('simdkalman')
    task = build(kind, given['optimizer']['lr_scale'], clip=given['config']['clip'])
    task.check_settings()
    assert task.unmatched() == []


@pytest.mark.parametrize('rate', [0.0, 1.0, -0.1])
def test_a_rate_that_no_threshold_has_is_refused(rate):
    with pytest.raises(LipfaultError, match=r'false_alarm_rate: must be above 0 and below 1'):
        FinetuneConfig(false_alarm_rate=rate)


def test_windows_of_any_length_fit_the_blocks(build):
    steps = {'joints': 30, 'force': 61}
    build(steps=steps)
    build('paper', steps=steps)


@pytest.mark.parametrize('kind', ['image', 'series'])
def test_a_rate_for_a_kind_reaches_every_modality_of_it(tiny_modalities, kind):
    config = OptimizerConfig(lr=1.0, lr_scale={f'*.coders.<{kind}>.*': 12.0, '*.coders.*': 0.5})
    task = stage_one(tiny_modalities, optimizer=config)
    rates = {id(p): group['lr'] for group in task._parameter_groups() for p in group['params']}
    for name, modality in tiny_modalities.items():
        wanted = 12.0 if modality.kind == kind else 0.5
        found = {rates[id(p)] for p in task.autoencoder.coders[name].parameters()}
        assert found == {wanted}


def test_a_rate_for_a_kind_that_the_data_lack_is_no_mistake(tiny_modalities):
    alone = {'force': tiny_modalities['force']}
    patterns = {'*.coders.<image>.*': 12.0, '*.coders.nose.*': 2.0, 'relations.*': 4.0}
    task = stage_one(alone, optimizer=OptimizerConfig(lr_scale=patterns))
    assert task.unmatched() == ['*.coders.nose.*']


def test_a_run_with_modulated_convolutions_can_be_loaded(build, tmp_path):
    rules = {'parts.*.locator.*': {'mode': 'cap', 'target': 3.0}}
    task = build(modulation=rules)
    views = torch.randn(2, task.block.parts['joints'].locator.net.start.in_channels, 32)
    task.block.train().parts['joints'].locator(views)
    checkpoint = {CARD: task.card(), 'state_dict': task.state_dict()}
    other = build(modulation=rules)
    name = 'block.parts.joints.locator.net.start.parametrizations.weight.0.right'
    assert other.state_dict()[name].numel() == 0 < checkpoint['state_dict'][name].numel()
    other.check_checkpoint(checkpoint)
    other.load_state_dict(checkpoint['state_dict'])
    for left, right in zip(modulated(task.block), modulated(other.block), strict=True):
        assert torch.equal(left.modulation.right, right.modulation.right)

    checkpoint['state_dict']['block.detector.head.bias'] = torch.zeros(9)
    with pytest.raises(LipfaultError, match=r'1 tensors do not fit, block\.detector\.head\.bias'):
        other.check_checkpoint(checkpoint)
    del checkpoint['state_dict'][name]
    with pytest.raises(LipfaultError, match=r'2 tensors do not fit'):
        other.check_checkpoint(checkpoint)


def test_data_in_other_units_are_refused(build, tiny_modalities):
    degrees = dataclasses.replace(tiny_modalities['joints'], units=('deg', 'deg', 'deg/s', 'deg/s'))
    with pytest.raises(LipfaultError, match=r"joints\.units = \['rad', .*\['deg', "):
        build(modalities=tiny_modalities | {'joints': degrees})


def test_a_card_without_units_is_taken(tiny_modalities):
    card = stage_one(tiny_modalities).card()
    old = copy.deepcopy(card)
    del old['description']['modalities']['joints']['units']
    check_card(old, card, 'old.ckpt')


def test_other_ranges_are_told_in_one_line(build, tiny_modalities, monkeypatch):
    lines = []
    monkeypatch.setattr('lipfault.tasks.base.rank_zero_info', lines.append)
    quiet = dataclasses.replace(tiny_modalities['force'], noise=(0.1, 0.2))
    build(modalities=tiny_modalities | {'force': quiet})
    assert len(lines) == 1
    assert re.search(r'first\.ckpt: force\.noise is \[0\.1, 0\.2\], was \[0\.2, 0\.2\]$', lines[0])
    card = stage_one(tiny_modalities).card()
    log_changed_ranges(card, card['description'], 'itself')
    assert len(lines) == 1


@pytest.mark.parametrize('section', [{}, {'config': None}, {'config': {'seed': 1}}])
def test_a_run_without_settings_of_the_stage_is_a_trained_task(section, build, tmp_path):
    save(build(), tmp_path / 'run' / 'checkpoints' / 'best.ckpt')
    written = yaml.safe_dump({'model': {'init_args': section}})
    (tmp_path / 'run' / CONFIG_NAME).write_text(written)
    assert not list(modulated(trained_task(str(tmp_path / 'run')).block))
