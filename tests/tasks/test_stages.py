"""Both stages through the real command line, on a tiny recording with three modalities."""

import json
import os
import re
import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest
import tiny_models
import torch
from forked import command
from tiny_models import PRETRAIN

from lipfault.cli.quiet import IGNORED_WARNINGS
from lipfault.errors import LipfaultError
from lipfault.faults.log import read_log
from lipfault.report.recall import draw_recall
from lipfault.report.run import load_run
from lipfault.runs.checkpoints import CARD, read_checkpoint
from lipfault.runs.folder import CONFIG_NAME, find_checkpoint
from lipfault.tasks.trained import trained_task

COMMON = """
report: false
data:
  path: {path}
  window_s: 0.64
  stride_s: 0.05
  history_s: 0.3
  batch_size: 16
  splits: {{pretrain: 0.34, finetune: 0.34, calibration: 0.16, test: 0.16}}
  train_split: {stage}
trainer:
  max_epochs: 2
  limit_train_batches: 3
  num_sanity_val_steps: 0
  accelerator: cpu
  enable_progress_bar: false
"""
FINETUNE = (
    tiny_models.FINETUNE
    + """\
      clip: {block.corrector: 1.0}
      modulation: {corrector.*: {mode: cap, target: 3.0}}
"""
)
MISSING = '--data.faults={kinds: {dropout_nan: 1, missing_frame: 1}, missing: true}'
FAULTS = '  faults: {kinds: {series: 1, image: 1}, held_out: [bias, fog]}\n'


def lipfault(*args: object, code: int = 0) -> str:
    """Run the command line in a process of its own, without a report; return what it prints."""
    quiet = ['--report=false'] if args[0] in ('test', 'certify') else []
    status, printed = command([args[0], *quiet, *args[1:]])
    assert status == code, printed[-4000:]
    assert 'Traceback' not in printed
    return printed


@pytest.fixture(scope='session')
def configs(tiny_recording, tmp_path_factory):
    folder = tmp_path_factory.mktemp('configs')
    for stage, model in (('pretrain', PRETRAIN), ('finetune', FINETUNE)):
        text = model + COMMON.format(path=tiny_recording, stage=stage)
        if stage == 'finetune':
            text = text.replace('  window_s', FAULTS + '  window_s')
        (folder / f'{stage}.yaml').write_text(text)
    return folder


@pytest.fixture(scope='session')
def runs(configs, tmp_path_factory):
    """A trained and tested run of each stage."""
    root = tmp_path_factory.mktemp('runs')
    lipfault('fit', '--config', configs / 'pretrain.yaml', '--run', root / 'pretrain')
    lipfault('test', '--report=true', '--ckpt_path', root / 'pretrain')
    printed = lipfault(
        'fit', '--config', configs / 'finetune.yaml', '--run', root / 'finetune',
        '--model.pretrained', root / 'pretrain',
    )  # fmt: skip
    assert 'no report drawn' in printed
    assert not re.search('|'.join(IGNORED_WARNINGS), printed)
    assert not (root / 'finetune' / 'report.html').exists()
    command(['test', '--ckpt_path', root / 'finetune'])  # draws it, although the fit did not
    return root


@pytest.mark.parametrize(
    'key',
    ['detection/f1', 'detection_unseen/auroc', 'recovery/seen', 'recovery/oracle', 'skill/force',
     'skill_pca/camera', 'corrector/selectivity', 'corrector/energy_left',
     'corrector/energy_left_pooled_unseen', 'corrector/share_worse', 'detector/fault_gain',
     'detection/false_alarms_per_hour',
     'calibration/episodes', 'calibration/supported_rate',
     'localization/camera/aupro', 'localization/force/auroc', 'localization_unseen/force/iou',
     'norm/corrector', 'clean/degradation'],
)  # fmt: skip
def test_metrics_are_written_and_finite(runs, key):
    metrics = json.loads((runs / 'finetune' / 'metrics.json').read_text())
    assert np.isfinite(metrics[key])


def documented() -> re.Pattern[str]:
    """Pattern of the keys in the tables of docs/metrics.md."""
    text = (Path(__file__).parents[2] / 'docs/metrics.md').read_text()
    cells = re.findall(r'^\| (`.*?`) \|', text, flags=re.MULTILINE)
    keys = [key for cell in cells for key in re.findall(r'`([^`]+)`', cell)]
    patterns, head = [], ''
    for key in keys:
        if key.startswith('...'):  # a suffix of the key before it
            key = head + key[3:]
        else:
            head = key
        pattern = re.sub(r'\\{(.*?)\\}', lambda m: f'({m[1].replace(",", "|")})', re.escape(key))
        pattern = pattern.replace(r'\.\.\.', '.+').replace('A_B', r'[\d]+_(\d+|inf)')
        pattern = re.sub(r'(?<=_)K$|(?<=/)M(?=/)|<\w+>', r'[\\w.]+', pattern)
        patterns.append(pattern)
    return re.compile(f'({"|".join(patterns)})(_low|_high)?')


def test_every_metric_of_a_run_is_documented(runs):
    metrics = json.loads((runs / 'finetune' / 'metrics.json').read_text())
    known = documented()
    assert not known.fullmatch('corrector/energy')
    assert not known.fullmatch('localization/camera/accuracy')
    assert [key for key in metrics if not known.fullmatch(key)] == []


def test_a_single_test_episode_has_no_interval(runs):
    metrics = json.loads((runs / 'finetune' / 'metrics.json').read_text())
    with np.load(runs / 'finetune' / 'results.npz') as results:
        assert len(np.unique(results['seen/episode'])) == 1
        assert (np.diff(results['seen/end_s']) > 0).all()
    for key in ('detection/f1_low', 'recovery/unseen_high', 'corrector/energy_left_unseen_low'):
        assert metrics[key] is None


@pytest.mark.parametrize('stage', ['pretrain', 'finetune'])
def test_run_folder_is_complete(runs, stage):
    names = {p.name for p in (runs / stage).iterdir()}
    wanted = {'lipfault_config.yaml', 'environment.json', 'metrics.csv', 'metrics.json'}
    assert wanted | {'results.npz', 'report.html', 'figures', 'checkpoints'} <= names


@pytest.mark.parametrize('stage', ['pretrain', 'finetune'])
def test_checkpoint_holds_plain_types_only(runs, stage):
    checkpoint = read_checkpoint(find_checkpoint(runs / stage))
    assert checkpoint['lipfault']['stage'] == stage


def test_autoencoder_is_frozen_in_stage_two(runs):
    before = read_checkpoint(find_checkpoint(runs / 'pretrain'))['state_dict']
    after = read_checkpoint(find_checkpoint(runs / 'finetune', 'last'))['state_dict']
    for name, value in before.items():
        assert torch.equal(after[name.replace('relations.', 'block.relations.', 1)], value)


def test_a_trained_task_is_the_one_of_the_run(runs):
    task = trained_task(str(runs / 'finetune'))
    metrics = json.loads((runs / 'finetune' / 'metrics.json').read_text())
    assert float(task.threshold) == metrics['detection/threshold']
    saved = read_checkpoint(find_checkpoint(runs / 'finetune'))['state_dict']
    assert all(torch.equal(value, saved[name]) for name, value in task.state_dict().items())
    assert not any(p.requires_grad for p in task.parameters())
    assert not any(module.training for module in task.modules())


def test_what_is_no_trained_task_is_named(runs, tmp_path):
    with pytest.raises(
        LipfaultError, match=r'a checkpoint of stage 1 .*lipfault fit --config finetune'
    ):
        trained_task(str(runs / 'pretrain'))
    alone = tmp_path / 'checkpoints'
    alone.mkdir()
    shutil.copy(find_checkpoint(runs / 'finetune'), alone)
    with pytest.raises(LipfaultError, match=f'configuration of its run is missing, {tmp_path}'):
        trained_task(str(tmp_path))


def test_settings_of_another_version_are_named(runs, tmp_path):
    shutil.copy(runs / 'finetune' / CONFIG_NAME, tmp_path)
    checkpoint = read_checkpoint(find_checkpoint(runs / 'finetune'))
    checkpoint[CARD]['block']['feelers'] = 3
    (tmp_path / 'checkpoints').mkdir()
    torch.save(checkpoint, tmp_path / 'checkpoints' / 'best.ckpt')
    with pytest.raises(LipfaultError, match=r"does not know the block settings \['feelers'\]"):
        trained_task(str(tmp_path))


@pytest.mark.parametrize(
    'options',
    [
        ['--model.block.kind', 'paper'],
        ['--model.block.kind', 'vae', '--model.config.clip={block.experts: 1.0}'],
        ['--model.block.kind', 'uncorrected', '--model.config.clip={}',
         '--model.config.modulation={}'],
        [MISSING, '--trainer.callbacks+=lipfault.callbacks.jacobian.JacobianMonitor'],
        ['--model.config.modulation={parts.*.locator.*: {mode: cap, target: 3.0}}',
         '--trainer.num_sanity_val_steps', 2, '--data.batch_size', 4],
    ],
    ids=['block as published', 'terms of its own', 'nothing to train', 'missing values',
         'modulated convolutions'],
)  # fmt: skip
def test_stage_two_works_with(options, configs, runs, tmp_path):
    printed = lipfault(
        'fit', '--config', configs / 'finetune.yaml', '--run', tmp_path / 'run',
        '--model.pretrained', runs / 'pretrain', '--trainer.max_epochs', 1, *options,
    )  # fmt: skip
    assert 'block starts afresh' in printed
    assert 'afresh' not in lipfault('test', '--ckpt_path', tmp_path / 'run')
    metrics = json.loads((tmp_path / 'run' / 'metrics.json').read_text())
    for key in ('detection/f1', 'recovery/seen', 'corrector/energy_left', 'detector/fault_gain'):
        assert np.isfinite(metrics[key])


def test_stage_two_says_that_there_is_no_fault_to_validate_on(configs, runs, tmp_path):
    printed = lipfault(
        'fit', '--config', configs / 'finetune.yaml', '--run', tmp_path / 'run',
        '--model.pretrained', runs / 'pretrain', '--trainer.max_epochs', 1,
        '--data.faults.clean_share', 1,
    )  # fmt: skip
    assert 'no window of the validation has a fault' in printed


FAULT_KEYS = {
    'sample_id', 'modality', 'kind', 'severity', 'onset_s', 'channels', 'touched', 'damage',
    'pattern',
}  # fmt: skip


def test_a_test_tells_every_fault(runs):
    lines = read_log(runs / 'finetune' / 'test_faults.jsonl')
    assert all(set(line) == FAULT_KEYS | {'split'} for line in lines)
    with np.load(runs / 'finetune' / 'results.npz') as results:
        for split in ('seen', 'unseen'):
            faulty = results[f'{split}/faulty']
            ids = results[f'{split}/sample_id'][faulty].tolist()
            mine = [line for line in lines if line['split'] == split]
            assert [line['sample_id'] for line in mine] == ids
            damage = [line['damage'] for line in mine]
            assert damage == pytest.approx(results[f'{split}/damage'][faulty].tolist())
    assert {line['kind'] for line in lines if line['split'] == 'unseen'} <= {'bias', 'fog'}
    assert not (runs / 'pretrain' / 'test_faults.jsonl').exists()


def test_predictions_stand_beside_their_faults(runs, tmp_path):
    command = ('predict', '--ckpt_path', runs / 'finetune', '--run', tmp_path)
    lipfault(*command, '--data.predict_faults', 'true')
    told = {line['sample_id']: line for line in read_log(tmp_path / 'predictions.jsonl')}
    faults = read_log(tmp_path / 'faults.jsonl')
    assert all(set(line) == FAULT_KEYS for line in faults)
    assert {line['sample_id'] for line in faults} < set(told)
    first = next(iter(told.values()))
    assert set(first) == {
        'sample_id', 'episode', 'end_s', 'score', 'p_value', 'alarm', 'modality', 'channels',
        'missing',
    }  # fmt: skip
    assert first['modality'] in ('camera', 'joints', 'force')
    assert all(0 < line['p_value'] <= 1 for line in told.values())
    assert all(line['alarm'] or not line['channels'] for line in told.values())
    lipfault(*command, '--data.predict_split', 'test')
    clean = {line['sample_id']: line for line in read_log(tmp_path / 'predictions.jsonl')}
    assert clean.keys() == told.keys()
    hit = {line['sample_id'] for line in faults if line['damage'] > 10}
    assert all(clean[number]['score'] != told[number]['score'] for number in hit)
    assert not (tmp_path / 'faults.jsonl').exists()


CONVOLVED = """
from torch import nn
from lipfault.models.blocks.baselines.denoising import DenoisingBlock

class Convolved(DenoisingBlock):
    def new_corrector(self):
        return nn.Sequential(nn.Unflatten(1, (1, -1)), nn.Conv1d(1, 1, 3, padding=1), nn.Flatten())

class Bare(DenoisingBlock):
    def new_corrector(self):
        return nn.Identity()
"""


@pytest.mark.parametrize(
    ('name', 'norms'), [('Convolved', {'norm/corrector', 'norm/corrector/1'}), ('Bare', set())]
)
def test_a_users_block_of_any_layers_is_tested(name, norms, configs, runs, tmp_path, monkeypatch):
    (tmp_path / 'mine.py').write_text(CONVOLVED)
    monkeypatch.setenv('PYTHONPATH', f'{tmp_path}{os.pathsep}{os.environ.get("PYTHONPATH", "")}')
    lipfault(
        'fit', '--config', configs / 'finetune.yaml', '--run', tmp_path / 'run',
        '--model.pretrained', runs / 'pretrain', '--trainer.max_epochs', 1,
        '--model.block.kind', f'mine.{name}', '--model.config.clip={}',
        '--model.config.modulation={}',
        '--trainer.callbacks+=lipfault.callbacks.spectral.SpectralNormMonitor',
    )  # fmt: skip
    consent = '--trust_run_code'
    lipfault('test', '--report=true', '--ckpt_path', tmp_path / 'run', consent)
    metrics = json.loads((tmp_path / 'run' / 'metrics.json').read_text())
    assert {key for key in metrics if key.startswith('norm/corrector')} == norms
    assert all(metrics[key] > 0 for key in norms | {'norm/detector'})
    assert (tmp_path / 'run' / 'report.html').exists()


OWN = """
from lipfault.faults.series.site import SeriesFault

class Wobble(SeriesFault):
    name, group, formula, reading = 'wobble', 'own', "x' = x (1 + a)", 'a test'
    levels, level_text = (0.1, 0.2, 0.3, 0.4, 0.5), 'a'

    def apply(self, site):
        return site.signal * (1 + site.level(self.levels)), site.mask
"""


def test_a_users_fault_is_named_everywhere(runs, tmp_path, monkeypatch):
    (tmp_path / 'mine.py').write_text(OWN)
    monkeypatch.setenv('PYTHONPATH', f'{tmp_path}{os.pathsep}{os.environ.get("PYTHONPATH", "")}')
    lipfault(
        'test', '--ckpt_path', runs / 'finetune', '--run', tmp_path / 'run',
        '--data.faults.kinds', '{mine.Wobble: 1}',
    )  # fmt: skip
    lines = read_log(tmp_path / 'run' / 'test_faults.jsonl')
    assert {line['kind'] for line in lines if line['split'] == 'seen'} == {'wobble'}
    with np.load(tmp_path / 'run' / 'results.npz') as results:
        kinds = results['kinds'][results['seen/kind'][results['seen/faulty']]]
    assert set(kinds.tolist()) == {'wobble'}
    figure = draw_recall(load_run(tmp_path / 'run'))
    assert 'wobble' in {label.get_text() for label in figure.axes[0].get_yticklabels()}


def test_modulated_layers_keep_their_cap(runs):
    metrics = json.loads((runs / 'finetune' / 'metrics.json').read_text())
    norms = [v for k, v in metrics.items() if k.startswith('norm/corrector/')]
    assert norms
    assert max(norms) <= 3.0 * (1 + 1e-5)


def test_testing_twice_gives_the_same_numbers(runs, tmp_path):
    before = (runs / 'finetune' / 'metrics.json').read_text()
    lipfault('test', '--ckpt_path', runs / 'finetune')
    assert (runs / 'finetune' / 'metrics.json').read_text() == before


@pytest.mark.parametrize('faults', [[], [MISSING]], ids=['as trained', 'missing values'])
def test_certificate_is_ordered(faults, runs, tmp_path):
    words = ('--ckpt_path', runs / 'finetune', '--run', tmp_path / 'certified', *faults)
    printed = lipfault('certify', *words)
    assert re.search(r'certify: about \d+ (s|min) for 3 modalities', printed)
    assert re.search(r'certify: about \d+ (s|min) to go', printed)
    certificate = json.loads((tmp_path / 'certified' / 'certificate.json').read_text())
    entries = [e for row in certificate['matrix'].values() for e in row.values()]
    assert len(entries) == 9
    for e in entries:
        assert e['measured'] <= e['adversarial'] * (1 + 1e-5)
        assert e['adversarial'] <= e['certified'] * (1 + 1e-5)
    changes = [c for row in certificate['output_changes'].values() for c in row.values()]
    assert len(changes) == len(certificate['statements']) == 9
    for c in changes:
        assert 0 <= c['median'] <= c['worst'] <= c['bound'] * (1 + 1e-5)


@pytest.mark.parametrize(
    ('args', 'match'),
    [
        (['test', '--config', '{finetune}', '--model.pretrained', '{runs}/pretrain'],
         'needs trained weights'),
        (['fit', '--config', '{finetune}', '--run', '{new}'], '--model.pretrained'),
        (['fit', '--config', '{finetune}', '--model.pretrained', '{new}', '--run', '{new}'],
         'no such file or run folder'),
        (['fit', '--config', '{pretrain}', '--run', '{runs}/pretrain'], 'is not empty'),
        (['fit', '--config', '{pretrain}', '--run', '{new}', '--data.path', 'nowhere.h5'],
         'nowhere.h5'),
        (['test', '--config', '{pretrain}', '--ckpt_path', '{runs}/finetune'],
         "of stage 'finetune', wanted one of stage 'pretrain'"),
        (['test', '--ckpt_path', '{empty}', '--config', '{pretrain}'], 'has no checkpoint'),
        (['test', '--ckpt_path', '{new}'], 'no checkpoint at'),
        (['predict', '--ckpt_path={empty}'], 'has no checkpoint'),
        (['fit', '--config', '{pretrain}', '--run', '{new}', '--data.window_s', '9'],
         'the longest lasts 3 s'),
        (['fit', '--config', '{finetune}', '--run', '{new}', '--model.pretrained',
          '{runs}/pretrain', '--model.config.false_alarm_rate', '0.001'],
         'model.config.false_alarm_rate=0.001 needs at least 999 to calibrate'),
        (['fit', '--config', '{pretrain}', '--run', '{new}', '--ckpt_path', 'last'],
         'there is no such file or run folder'),
        (['fit', '--config', '{pretrain}', '--run', '{runs}/pretrain', '--ckpt_path', 'last',
          '--model.relations.width', '24'], 'relations.width is 24, was 16'),
        (['fit', '--config', '{pretrain}', '--run', '{runs}/pretrain', '--ckpt_path', 'last',
          '--model.optimizer.lr_scale={{relations.*: 2}}'],
         'is given, and was not before: a resumed'),
        (['fit', '--config', '{pretrain}', '--run', '{runs}/pretrain', '--ckpt_path',
          '{runs}/finetune'], 'is not of this run'),
        (['fit', '--config', '{finetune}', '--run', '{new}', '--model.pretrained',
          '{runs}/pretrain', '--model.optimizer.lr_scale={{block.locatrs.*: 50}}'],
         'matches nothing that is trained'),
    ],
)  # fmt: skip
def test_bad_input_is_one_line_and_status_one(args, match, configs, runs, tmp_path):
    (tmp_path / 'empty').mkdir()
    places = {
        'pretrain': configs / 'pretrain.yaml',
        'finetune': configs / 'finetune.yaml',
        'runs': runs,
        'new': tmp_path / 'new',
        'empty': tmp_path / 'empty',
    }
    before = {p: p.read_bytes() for p in runs.rglob('*') if p.is_file()}
    printed = lipfault(*(a.format(**places) for a in args), code=1)
    assert 'lipfault: error:' in printed
    assert match in ' '.join(printed.split())
    assert {p: p.read_bytes() for p in runs.rglob('*') if p.is_file()} == before
    assert not list((tmp_path / 'new').glob('*'))  # a corrected retry may use the folder


def test_misspelt_key_is_named(configs, tmp_path):
    printed = lipfault(
        'fit', '--config', configs / 'pretrain.yaml', '--run', tmp_path / 'new',
        '--data.windows', 1, code=2,
    )  # fmt: skip
    assert 'windows' in printed


def test_torn_checkpoint_is_named(runs, tmp_path):
    torn = tmp_path / 'torn.ckpt'
    torn.write_bytes(Path(find_checkpoint(runs / 'pretrain')).read_bytes()[:5000])
    config = runs / 'pretrain' / 'lipfault_config.yaml'
    printed = lipfault('test', '--config', config, '--ckpt_path', torn, code=1)
    assert 'torn.ckpt is not a readable checkpoint' in ' '.join(printed.split())


def test_windows_with_missing_samples_are_predicted(runs, tiny_recording, tmp_path):
    shutil.copy(tiny_recording, tmp_path / 'gaps.h5')
    with h5py.File(tmp_path / 'gaps.h5', 'r+') as file:
        for episode in file['episodes'].values():
            for name, step in (('force', 150), ('camera', 20)):
                here = np.ones(len(episode[name]), bool)
                here[step] = False
                episode[f'{name}_present'] = here
    options = ('--ckpt_path', runs / 'finetune', '--data.path', tmp_path / 'gaps.h5')
    lipfault('predict', *options, '--run', tmp_path / 'predicted')
    lines = read_log(tmp_path / 'predicted' / 'predictions.jsonl')
    assert all(np.isfinite(line['score']) for line in lines)
    assert {line['episode'] for line in lines} == {f'swing-{n:02d}' for n in range(6)}
    assert all(line['alarm'] for line in lines if line['missing'])
    assert {name for line in lines for name in line['missing']} == {'force', 'camera'}
    printed = lipfault('test', *options, '--run', tmp_path / 'tested')
    assert re.search(r"split 'test': \d+ windows with a missing sample are left out", printed)
    with np.load(tmp_path / 'tested' / 'results.npz') as arrays:
        tested = set(arrays['seen/sample_id'].tolist())
    assert tested < {line['sample_id'] for line in lines}
