"""A wrong word is answered before PyTorch is imported; a right one is never refused."""

import subprocess
import sys
from pathlib import Path

import pytest

from lipfault.cli.arguments import completed
from lipfault.cli.lightning import LipfaultCLI, command_line, settings
from lipfault.cli.main import main
from lipfault.cli.shipped import config_file, shipped_names
from lipfault.cli.usage import UsageError, check_command, check_function, check_stage
from lipfault.errors import LipfaultError
from lipfault.runs.config_diff import flattened

ROOT = Path(__file__).parents[2]
TYPOS = [
    ('ftt', "no command 'ftt'; did you mean 'fit'?"),
    ('fit --confg x', 'fit: no option --confg; did you mean --config?'),
    ('fit --model.optimizer.lrr 1', 'optimizer.lrr; did you mean --model.optimizer.lr?'),
    ('fit --config pretrain --model.init_args.codr.x=1', 'did you mean --model.coder?'),
    ('fit --batch_size 3', 'no option --batch_size; did you mean --data.batch_size?'),
    ('fit --trainer.max_epohcs 3', 'did you mean --trainer.max_epochs?'),
    ('fit --data.faults.kindz {}', 'did you mean --data.faults.kinds?'),
    ('fit --save_evry=3', 'did you mean --save_every?'),
    ('certify --ckpt_pth x', 'certify: no option --ckpt_pth; did you mean --ckpt_path?'),
    ('fit pretrain', "fit: unexpected 'pretrain'"),
    ('fit', 'there is no model; give --config pretrain'),
    ('fit --model lipfault.tasks.pretrain.PretranTask --x 1', "did you mean 'PretrainTask'?"),
    ('fit --model lipfault.tasks.pretran.PretrainTask', 'no module lipfault.tasks.pretran'),
    ('data chek', "data has no subcommand 'chek'; did you mean 'check'?"),
    ('data check --pth x', 'data check: no option --pth; did you mean --path?'),
    ('faults lst', "did you mean 'list'?"),
    ('report --rn x', 'report: no option --rn; did you mean --run?'),
    ('', 'name a command'),
]
MISSING = [
    ('fit --config pretran', 'neither a file nor a shipped configuration; did you mean pretrain?'),
    ('fit --config pretrain --data.path nowhere.h5', 'data.path: there is no recording nowhere.h5'),
    ('test --ckpt_path nowhere', 'no checkpoint at nowhere'),
]
SCRIPT = """
import sys
from lipfault.cli.main import main
for line in sys.stdin.read().splitlines():
    try:
        main(line.split())
    except SystemExit as stopped:
        heavy = {'torch', 'lightning', 'wandb', 'jsonargparse'} & set(sys.modules)
        print('status', stopped.code, *sorted(heavy))
"""


def test_wrong_words_are_answered_without_importing_torch():
    cases = [*TYPOS, *MISSING]
    lines = [*(line for line, _ in cases), '--help', '--version']
    ended = subprocess.run(
        [sys.executable, '-c', SCRIPT], cwd=ROOT, input='\n'.join(lines), text=True,
        capture_output=True, check=True,
    )  # fmt: skip
    answers = ended.stderr.splitlines()
    assert len(answers) == len(cases)
    for answer, (line, words) in zip(answers, cases, strict=True):
        assert answer.startswith('lipfault: error: '), line
        assert words in answer, line
    statuses = [line for line in ended.stdout.splitlines() if line.startswith('status')]
    wanted = ['status 2'] * len(TYPOS) + ['status 1'] * len(MISSING) + ['status 0'] * 2
    assert statuses == wanted


def stage(*words):
    check_stage(words[0], completed(list(words)))


@pytest.mark.parametrize('subcommand', ['fit', 'validate', 'test', 'predict'])
def test_every_option_of_the_parser_is_accepted(subcommand, monkeypatch):
    parsers = {}

    def stop(cli, *_):
        parsers.update(cli._subcommand_parsers)
        raise InterruptedError

    monkeypatch.setattr(LipfaultCLI, 'parse_arguments', stop)
    with pytest.raises(InterruptedError):
        command_line([subcommand], LipfaultCLI)
    names = {name for action in parsers[subcommand]._actions for name in action.option_strings}
    assert {'--trainer.max_epochs', '--data.path', '--ckpt_path', '--run', '--model'} <= names
    values = {'--config': 'pretrain', '-c': 'pretrain', '--data.path': 'data/ur5.h5'}
    for name in sorted(names - {'-h', '--help', '--model', '--ckpt_path'}):
        stage(subcommand, '--config', 'pretrain', f'{name}={values.get(name, "x")}')


@pytest.mark.parametrize('base', ['pretrain', 'finetune'])
def test_every_setting_is_accepted_as_option_and_in_a_file(base, tmp_path):
    found = settings(['fit', '--config', base])
    skipped = ('model.class_path', 'data.path', 'config')
    for key in flattened(found):
        if not key.startswith(skipped):
            stage('fit', '--config', base, f'--{key}', 'x')
            stage('fit', '--config', base, f'--{key.replace(".init_args", "")}', 'x')


@pytest.mark.parametrize('name', shipped_names())
def test_shipped_configurations_are_accepted(name):
    base = 'pretrain' if name.startswith(('coder', '256px/pre')) else 'finetune'
    stage('fit', '--config', base, f'--config={name}')
    assert Path(config_file(name)).is_file()


@pytest.mark.parametrize(
    'words',
    [
        ['--trainer.callbacks+', 'some.Callback', '--trainer.callbacks.init_args.every=3'],
        ['--trainer.callbacks.every', '3', '--trainer.callbacks.help', 'some.Callback'],
        ['--model.help', 'lipfault.tasks.pretrain.PretrainTask'],
        ['--model.optimizer.lr_scale', '{"*": 1.0}', '--model.coder.init_args.image_latent=3'],
        ['--model.dict_kwargs.anything', '1', '--print_config'],
        ['--data.faults.kinds.bias', '1', '--data.seed', '-1', '--print_config=skip_null'],
        ['--model=my.Task', '--model.anything.at.all=1'],
        ['--model', 'my.Task', '--config', '{"model": {"other": 1}}'],
        ['--trainer.max_ep', '3', '--data.batch', '3'],  # abbreviations, which argparse accepts
        ['--help'],
    ],
    ids=lambda words: words[0],
)
def test_forms_of_the_parser_are_accepted(words):
    stage('fit', '--config', 'pretrain', *words)


def test_settings_in_a_file_are_checked(tmp_path):
    file = tmp_path / 'mine.yaml'
    file.write_text('model: lipfault.tasks.pretrain.PretrainTask\ndata: {pth: a.h5}\n')
    message = r'mine\.yaml: no setting data\.pth; did you mean data\.path'
    with pytest.raises(UsageError, match=message):
        stage('fit', '--config', str(file))
    file.write_text('model: {class_path: mine.Task, init_args: {a: {b: 1}}}\ndata: {path: []}\n')
    stage('fit', '--config', str(file))


@pytest.mark.parametrize('name', ['data', 'faults', 'report', 'sweep', 'dashboard'])
def test_options_of_functions_are_read_from_their_source(name):
    command = check_command(name)
    found = command.load()
    functions = found if isinstance(found, dict) else {'': found}
    for subcommand, function in functions.items():
        words = [f'--{key}=x' for key in function.__annotations__ if key != 'return']
        prefix = [subcommand] if subcommand else []
        check_function(name, command, [*prefix, *words, '--config=x', '--print_config'])
        with pytest.raises(UsageError, match='no option --zzz'):
            check_function(name, command, [*prefix, '--zzz', '1'])


def test_a_value_that_the_parser_refuses_is_one_line(capsys, monkeypatch):
    monkeypatch.chdir(ROOT)
    for words, answer in [
        (
            ['--data.batch_size', 'abc'],
            'data.batch_size: must be a whole number from 1 to 2147483647, got abc',
        ),
        (
            ['--model.optimizer.lr', 'abc'],
            'model.optimizer.lr: must be above 0 and at most 1e+30, got abc',
        ),
        (['--trainer.max_epochs', 'abc'], 'trainer.max_epochs: expected int, got abc'),
        (['--trainer.callbacks+', 'x.Y'], "trainer.callbacks: No module named 'x'"),
    ]:
        with pytest.raises(SystemExit) as stopped:
            main(['fit', '--config', 'pretrain', *words])
        assert stopped.value.code == 2
        assert capsys.readouterr().err == f'lipfault: error: {answer}\n'


def test_a_file_has_precedence_over_a_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    # By its real path: in a checkout `lipfault/configs` is a link.
    assert Path(config_file('pretrain')).resolve() == ROOT / 'configs' / 'pretrain.yaml'
    (tmp_path / 'pretrain').write_text('seed_everything: 1')
    assert config_file('pretrain') == 'pretrain'
    message = r'did you mean block/paper.*There are finetune, pretrain'
    with pytest.raises(LipfaultError, match=message):
        config_file('block/papr')


def test_a_missing_recording_names_its_key_from_any_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(LipfaultError, match=r'^data\.path: .*data/ur5\.h5.*--data\.path'):
        stage('fit', '--config', 'pretrain')
    stage('fit', '--config', 'pretrain', '--data.path', str(ROOT / 'data' / 'ur5.h5'))


def test_a_whole_number_of_batches_stays_one():
    """In a process of its own: the order of imports decides how `int | float` is parsed."""
    words = ['fit', '--config', 'configs/pretrain.yaml', '--trainer.limit_train_batches', '1']
    ended = subprocess.run(
        [sys.executable, '-m', 'lipfault', *words, '--print_config'],
        capture_output=True, text=True, cwd=ROOT,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    assert '  limit_train_batches: 1\n' in ended.stdout
