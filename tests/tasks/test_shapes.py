"""The shipped configurations on recordings of other shapes, through the command line."""

import re
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import yaml
from forked import command
from lightning.pytorch.cli import LightningCLI

from lipfault.cli.lightning import LipfaultCLI
from lipfault.data.episode import Episode
from lipfault.data.writer import write_recording
from lipfault.errors import LipfaultError
from lipfault.faults.log import read_log
from lipfault.modality import Modality
from lipfault.runs.folder import CONFIG_NAME

SMALL = """
report: false
trainer: {limit_train_batches: 1, max_epochs: 1, accelerator: cpu, enable_progress_bar: false,
          enable_model_summary: false}
"""
STAGE_ONE = """
model:
  class_path: lipfault.tasks.pretrain.PretrainTask
  init_args: {relations: {width: 8, depth: 2, channels: 4, grid: 2, components: 8}}
"""
STAGE_TWO = """
model:
  class_path: lipfault.tasks.finetune.FinetuneTask
  init_args:
    block:
      {corrector_width: 8, detector_width: 8, embedding: 4, local_widths: {series: 8, image: 8}}
data: {faults: {damage: null}}
"""


def series(name: str, channels: int, rate: float) -> Modality:
    labels = tuple(f'c{i}' for i in range(channels))
    ends = (-3.0,) * channels, (3.0,) * channels, (0.01,) * channels
    return Modality(name, 'series', rate, labels, ('1',) * channels, *ends)


def eye(channels: int, size: tuple[int, int]) -> Modality:
    labels = tuple(f'c{i}' for i in range(channels))
    ends = (0.0,) * channels, (1.0,) * channels, (0.01,) * channels
    return Modality('eye', 'image', 15.0, labels, ('1',) * channels, *ends, size)


def recorded(modality: Modality, seconds: float, rng: np.random.Generator) -> np.ndarray:
    count, channels = round(seconds * modality.rate_hz), len(modality.channels)
    if modality.size is not None:
        return rng.integers(90, 160, (count, *modality.size, channels), dtype=np.uint8)
    swing = np.sin(np.arange(count)[:, None] / modality.rate_hz * 3 + np.arange(channels))
    return (swing + rng.normal(0, 0.01, swing.shape)).astype(np.float32)


@pytest.fixture
def small(tmp_path):
    for name, text in (('pretrain', STAGE_ONE), ('finetune', STAGE_TWO)):
        (tmp_path / f'{name}.yaml').write_text(SMALL + text)
    return tmp_path


def write(path, modalities, seconds):
    rng = np.random.default_rng(0)
    episodes = (
        Episode(f'e{i:02d}', {m.name: recorded(m, s, rng) for m in modalities})
        for i, s in enumerate(seconds)
    )
    write_recording(path, modalities, episodes)


def run(*args: object, code: int = 0) -> str:
    status, printed = command([str(a) for a in args])
    assert status == code, printed[-4000:]
    return ' '.join(printed.split())


def fit(folder: Path, stage: str, *options: object, code: int = 0) -> str:
    return run(
        'fit', '--config', f'configs/{stage}.yaml', '--config', folder / f'{stage}.yaml',
        '--data.path', folder / 'mine.h5', '--run', folder / 'runs' / stage, *options, code=code,
    )  # fmt: skip


@pytest.mark.parametrize(
    'modalities',
    [
        [eye(1, (11, 7)), series('arm', 3, 30.0), series('load', 1, 50.0)],
        [series('load', 1, 25.0)],
        [eye(4, (13, 20))],
    ],
    ids=['odd', 'one series', 'one image'],
)
def test_both_stages_train_on_any_shape_at_once(small, modalities):
    write(small / 'mine.h5', modalities, [7.0] * 9 + [0.4])
    fit(small, 'pretrain')
    fit(small, 'finetune', '--model.pretrained', small / 'runs/pretrain')
    lengths = [
        [yaml.safe_load((small / 'runs' / stage / CONFIG_NAME).read_text())['data'][key]
         for key in ('window_s', 'stride_s', 'history_s')]
        for stage in ('pretrain', 'finetune')
    ]  # fmt: skip
    assert lengths[0] == lengths[1]
    assert all(isinstance(length, float) for length in lengths[0])
    # Another recording, of one episode, is predicted as a whole.
    write(small / 'new.h5', modalities, [6.0])
    run(
        'predict', '--ckpt_path', small / 'runs/finetune', '--data.path', small / 'new.h5',
        '--run', small / 'predicted',
    )  # fmt: skip
    lines = read_log(small / 'predicted/predictions.jsonl')
    assert {line['episode'] for line in lines} == {'e00'}
    assert len(lines) == 1 + round(
        (max(x['end_s'] for x in lines) - lines[0]['end_s']) / lengths[0][1]
    )


def test_too_few_calibration_windows_are_named_before_the_training(small):
    write(small / 'mine.h5', [series('load', 1, 10.0)], [4.0] * 9)
    fit(small, 'pretrain')
    printed = fit(small, 'finetune', '--model.pretrained', small / 'runs/pretrain', code=1)
    assert re.search(
        r"split 'calibration' has \d+ windows of 1 episode, .*false_alarm_rate=0\.01 needs at "
        r'least 99 .*: set .* to 0\.\d+ or more, data.stride_s to 0\.0\d+ or less',
        printed,
    )
    assert not list((small / 'runs').glob('finetune/*'))


@pytest.mark.parametrize(
    ('steps', 'resumes', 'kept'), [(0, False, False), (1, False, True), (0, True, True)]
)
def test_only_a_start_that_fails_leaves_no_file(tmp_path, monkeypatch, steps, resumes, kept):
    run_folder = tmp_path / 'run'

    def fail(self: LipfaultCLI, subcommand: str) -> None:
        (run_folder / 'checkpoints').mkdir(parents=True)
        for name in ('lipfault_config.yaml', 'checkpoints/last.ckpt'):
            (run_folder / name).touch()
        raise LipfaultError('the disk is full')

    monkeypatch.setattr(LightningCLI, '_run_subcommand', fail)
    cli = LipfaultCLI.__new__(LipfaultCLI)
    cli.run_folder, cli._resumes = run_folder, resumes
    cli.lock = SimpleNamespace(signed=True)
    strategy = SimpleNamespace(launcher=None)
    cli.trainer = SimpleNamespace(global_step=steps, strategy=strategy)
    with pytest.raises(LipfaultError, match='the disk is full'):
        cli._run_subcommand('fit')
    assert len(list(run_folder.iterdir())) == (2 if kept else 0)


def test_a_warm_start_loads_what_fits_and_says_what_does_not(small):
    arm = series('arm', 2, 25.0)
    write(small / 'mine.h5', [arm, series('load', 1, 25.0)], [7.0] * 9)
    fit(small, 'pretrain')
    (small / 'runs').rename(small / 'first')
    (small / 'mine.h5').unlink()
    write(small / 'mine.h5', [arm, series('load', 3, 25.0)], [7.0] * 9)
    printed = fit(small, 'pretrain', '--model.warm_start', small / 'first/pretrain')
    assert 'loaded autoencoder.coders.arm; starting afresh: autoencoder.coders.load, ' in printed
    printed = fit(
        small, 'finetune', '--model.pretrained', small / 'runs/pretrain',
        '--model.warm_start', small / 'first/pretrain', code=1,
    )  # fmt: skip
    assert "is of stage 'pretrain': model.warm_start takes a run of stage 'finetune'" in printed
