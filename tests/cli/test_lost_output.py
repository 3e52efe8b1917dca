"""A command goes on without a reader of its output, and prints no terminal escapes of a file."""

import logging
import subprocess
import sys

import pytest

from lipfault.cli.main import main
from lipfault.cli.quiet import MessageFilter

SCRIPT = """
import sys
from lipfault.cli.quiet import outlive_output
outlive_output()
print('first', flush=True)
sys.stdin.readline()
for number in range(3):
    print(number, flush=True)
open(sys.argv[1], 'w').write('trained to the end')
"""


def test_a_command_goes_on_without_a_reader_and_says_so_once(tmp_path):
    pipe = subprocess.PIPE
    with subprocess.Popen(
        [sys.executable, '-c', SCRIPT, tmp_path / 'end'], stdin=pipe, stdout=pipe, stderr=pipe
    ) as process:
        assert process.stdout.readline() == b'first\n'
        process.stdout.close()  # as `head -1` does
        _, errors = process.communicate(b'\n')
    assert process.returncode == 0
    assert (tmp_path / 'end').read_text() == 'trained to the end'
    assert errors.decode().splitlines() == [
        'lipfault: nobody reads the output any more; going on without it'
    ]


def test_a_command_goes_on_if_the_reader_of_both_outputs_is_gone(tmp_path):
    pipe = subprocess.PIPE
    with subprocess.Popen(
        [sys.executable, '-c', SCRIPT, tmp_path / 'end'],
        stdin=pipe, stdout=pipe, stderr=subprocess.STDOUT,
    ) as process:  # fmt: skip
        assert process.stdout.readline() == b'first\n'
        process.stdout.close()
        process.communicate(b'\n')
    assert process.returncode == 0
    assert (tmp_path / 'end').exists()


def test_an_error_prints_names_without_their_escapes(tmp_path, capsys):
    with pytest.raises(SystemExit):
        main(['report', '--run', str(tmp_path / '\x1b[31mred')])
    printed = capsys.readouterr().err
    assert '\x1b' not in printed
    assert '\\x1b[31mred' in printed


def test_a_log_prints_names_without_their_escapes():
    record = logging.LogRecord('a', logging.INFO, 'f', 1, 'reading %s', ('\x1b[2J',), None)
    assert MessageFilter().filter(record)
    assert record.getMessage() == 'reading \\x1b[2J'
