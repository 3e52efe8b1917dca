"""Names of files are printed as they are, whatever they mean to the library that prints."""

import re
from pathlib import Path

import pytest

from lipfault.cli import report as report_module

CLI = Path(report_module.__file__).parent


@pytest.mark.parametrize('name', ['[/x]', '[bold]a', 'a[0]', 'é'])
def test_a_run_named_like_markup_is_reported(name, monkeypatch, capsys):
    monkeypatch.setattr(report_module, 'write_report', lambda run: run / 'report.html')
    report_module.report(name)
    assert capsys.readouterr().out == f'report: {name}/report.html\n'


@pytest.mark.parametrize('file', sorted(CLI.glob('*.py')), ids=lambda file: file.stem)
def test_what_is_formatted_is_no_markup(file):
    calls = re.findall(r'Console\(\)\.print\(\s*f.*?soft_wrap=True', file.read_text(), re.DOTALL)
    assert [call for call in calls if 'markup=False' not in call and 'escape(' not in call] == []
