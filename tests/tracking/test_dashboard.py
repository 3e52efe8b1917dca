"""No panel of the dashboard points at something that no run logs."""

import json
import re
from typing import Any

import pytest
from logged_runs import ROOT, Logged
from wandb_server import serving

from lipfault.cli.dashboard import dashboard
from lipfault.cli.main import main
from lipfault.errors import LipfaultError
from lipfault.tracking.layout import DASHBOARD
from lipfault.tracking.names import PAPER_NORMS
from lipfault.tracking.panels import Lines, Parallel, Scatter, Section, metrics_of, quantities

render = pytest.importorskip('lipfault.tracking.render')
PANELS = [
    pytest.param(section, panel, id=f'{section.title}: {panel.title}')
    for section in DASHBOARD.sections
    for panel in section.panels
]


@pytest.mark.parametrize(('section', 'panel'), PANELS)
def test_every_metric_of_a_panel_is_logged(logged: Logged, section: Section, panel: Any) -> None:
    names = logged.files[section.job].names
    assert section.axis in names
    assert set(metrics_of(panel)) <= names
    if isinstance(panel, Lines) and panel.pattern:
        assert any(re.fullmatch(panel.pattern, name) for name in names)
    assert list(metrics_of(panel)) or getattr(panel, 'pattern', '')


@pytest.mark.parametrize(('section', 'panel'), PANELS)
def test_every_key_of_the_configuration_is_logged(logged: Logged, section: Section, panel) -> None:
    keys = [q.key for q in quantities(panel)] if isinstance(panel, Scatter | Parallel) else []
    for key in keys:
        if key.startswith('model.'):
            value: Any = logged.files[section.job].config
            for part in key.split('.'):
                value = value[part]
            assert isinstance(value, float)


def test_figures_of_the_paper_are_lines_beside_the_norms(logged: Logged) -> None:
    rows = [row for row in logged.files['finetune'].rows if 'norm/corrector' in row]
    assert rows
    for row in rows:
        assert {m: row[f'paper/norm_{m}'] for m in PAPER_NORMS} == PAPER_NORMS
    (panel,) = [p for p in DASHBOARD.sections[0].panels if 'norm/corrector' in metrics_of(p)]
    assert {'norm/detector', 'paper/norm_corrector', 'paper/norm_detector'} <= set(panel.metrics)


def test_every_name_of_the_page_is_logged(logged: Logged) -> None:
    page = (ROOT / 'docs/dashboards.md').read_text()
    table = page.split('## Names of metrics')[1].split('## ')[0]
    firsts = [line.split('|')[1] for line in table.splitlines() if line.startswith('| `')]
    patterns = [name for cell in firsts for name in re.findall(r'`([^`]+/[^`]+)`', cell)]
    names = set().union(*(file.names for file in logged.files.values()))
    assert len(patterns) > 10
    for pattern in patterns:
        expression = re.sub(r'<\w+>', '.+', pattern)
        assert any(re.fullmatch(expression, name) for name in names), pattern


def leaves(node: Any) -> set[str]:
    """All strings of a rendered specification."""
    if isinstance(node, dict):
        return set().union(*map(leaves, node.values()), set())
    if isinstance(node, list | tuple):
        return set().union(*map(leaves, node), set())
    return {node} if isinstance(node, str) else set()


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch):
    """A server on loopback, and a key for it."""
    with serving() as found:
        monkeypatch.setenv('WANDB_API_KEY', 'k' * 40)
        monkeypatch.setenv('WANDB_BASE_URL', found.url)
        yield found


def test_sent_views_hold_every_panel(server, capsys) -> None:
    dashboard(entity='team', group='demo')
    printed = capsys.readouterr().out
    assert len(server.views) == 2
    for kind, view in zip(('workspace', 'report'), server.views, strict=True):
        assert f'{kind}: {server.url}/team/lipfault' in printed
        assert (view['entityName'], view['projectName']) == ('team', 'lipfault')
        assert DASHBOARD.title in {view['displayName'], view.get('name')}
        found = leaves(json.loads(view['spec']))
        assert 'demo' in found
        for section in DASHBOARD.sections:
            assert section.title in found
            for panel in section.panels:
                assert_shown(panel, section.axis, found)


def assert_shown(panel: Any, axis: str, found: set[str]) -> None:
    """All that the panel names is somewhere in the view."""
    for name in metrics_of(panel):
        assert {name, f'summary:{name}'} & found, f'{panel.title}: {name}'
    for q in quantities(panel) if isinstance(panel, Scatter | Parallel) else ():
        if q.source == 'config':
            assert f'config:{q.key.replace(".", ".value.", 1)}' in found
    if isinstance(panel, Lines):
        assert axis in found
        assert not panel.pattern or panel.pattern in found


def test_dry_run_writes_the_specification(tmp_path, capsys) -> None:
    main(['dashboard', '--dry-run'])
    printed = json.loads(capsys.readouterr().out)
    main(['dashboard', '--dry-run', '--out', str(tmp_path / 'board.json')])
    assert json.loads((tmp_path / 'board.json').read_text()) == printed
    assert printed == json.loads(json.dumps(DASHBOARD.to_dict()))
    first = printed['sections'][0]
    assert first['axis'] == 'finetune/step'
    assert first['panels'][0]['kind'] == 'lines'


def test_missing_extra_is_named(monkeypatch, capsys) -> None:
    monkeypatch.setitem(__import__('sys').modules, 'wandb_workspaces', None)
    monkeypatch.delitem(__import__('sys').modules, 'lipfault.tracking.render')
    monkeypatch.delattr('lipfault.tracking.render', raising=False)
    with pytest.raises(LipfaultError, match=r"pip install 'lipfault\[dashboard\]'"):
        dashboard(entity='team')
    dashboard(dry_run=True)


def test_refusal_of_the_server_is_one_line(server, monkeypatch) -> None:
    monkeypatch.setattr(render, 'workspace', lambda *_: _Refusing())
    with pytest.raises(LipfaultError, match=r'W&B refused the dashboard: no permission\. Is there'):
        dashboard(entity='team')


class _Refusing:
    """A workspace that the server does not take."""

    def save(self) -> None:
        raise RuntimeError('no permission\nat line 3')


def test_without_a_key_nothing_is_sent(monkeypatch) -> None:
    monkeypatch.delenv('WANDB_API_KEY', raising=False)
    monkeypatch.setenv('HOME', '/nonexistent')
    with pytest.raises(LipfaultError, match='Is there a key'):
        dashboard(entity='team')
