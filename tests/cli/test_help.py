"""The help text names every command, and each command has its own."""

import pytest

from lipfault.cli.main import main

COMMANDS = ('certify', 'report', 'data', 'faults', 'sweep', 'dashboard')


def helped(capsys, *args):
    with pytest.raises(SystemExit) as stopped:
        main([*args, '--help'])
    assert not stopped.value.code
    return capsys.readouterr().out


def test_help_names_every_command(capsys):
    text = helped(capsys)
    for name in ('fit', 'validate', 'test', 'predict', *COMMANDS):
        assert f' {name} ' in text.replace('\n', ' ').replace(',', ' '), name


@pytest.mark.parametrize('name', COMMANDS[1:])
def test_help_of_a_command_says_how_it_is_called(name, capsys):
    assert helped(capsys, name).startswith(f'usage: lipfault {name} ')
