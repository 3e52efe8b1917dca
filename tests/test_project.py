"""Facts that stand in two files agree, and light parts import no heavy library."""

import re
import runpy
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

import lipfault

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / 'pyproject.toml').read_text())['project']
GITHUB = sorted((ROOT / '.github').rglob('*.yml'))
IMPORT_WITHOUT = """
import sys
from importlib import import_module
from pkgutil import walk_packages


class Missing:
    # As if these were not installed.
    def find_spec(self, name, path=None, target=None):
        if name.split('.')[0] in {'lightning', 'pytorch_lightning', 'tensorboard', 'wandb'}:
            raise ImportError(f'{name} is not installed')


sys.meta_path.insert(0, Missing())
for name in sys.argv[1:]:
    for module in walk_packages(import_module(name).__path__, f'{name}.'):
        import_module(module.name)
        print(module.name)
"""


def test_citation_has_the_version() -> None:
    citation = (ROOT / 'CITATION.cff').read_text()
    assert f'\nversion: {lipfault.__version__}\n' in citation
    assert 'arXiv:2603.25103' in citation


def test_every_make_target_is_explained() -> None:
    makefile = (ROOT / 'Makefile').read_text()
    phony = re.search(r'^\.PHONY: (.*)$', makefile, flags=re.MULTILINE)
    assert phony
    assert set(phony[1].split()) == set(re.findall(r'^([a-z-]+):.*## ', makefile, re.MULTILINE))


@pytest.mark.parametrize('line', (ROOT / 'constraints.txt').read_text().splitlines())
def test_every_constraint_is_one_version(line: str) -> None:
    assert re.fullmatch(r'[\w.-]+==[\w.]+', line)


@pytest.mark.parametrize('page', ['README.md', 'CONTRIBUTING.md', 'docs/architecture.md'])
def test_links_between_pages_lead_somewhere(page: str) -> None:
    text = (ROOT / page).read_text()
    for target in re.findall(r'\]\(([^)#]+)[^)]*\)', text):
        assert target.startswith('https://') or (ROOT / page).parent.joinpath(target).exists()


def test_floors_of_the_oldest_environment_are_those_of_the_project() -> None:
    oldest = runpy.run_path(str(ROOT / '.ci/oldest.py'))['oldest'](PROJECT)
    assert (ROOT / 'constraints-oldest.txt').read_text().splitlines() == list(oldest)


def test_malicious_releases_are_excluded() -> None:
    (lightning,) = (line for line in PROJECT['dependencies'] if line.startswith('lightning'))
    assert {'!=2.6.2', '!=2.6.3'} <= set(lightning.removeprefix('lightning').split(','))


@pytest.mark.parametrize('path', GITHUB, ids=lambda path: path.name)
def test_files_of_github_are_yaml(path: Path) -> None:
    content = yaml.safe_load(path.read_text())
    assert isinstance(content, dict)
    for part in content.get('body', []):  # of an issue form
        assert {'type', 'id', 'attributes'} <= part.keys()


def test_workflow_calls_what_the_repository_has() -> None:
    workflow = yaml.safe_load((ROOT / '.github/workflows/ci.yml').read_text())
    steps = [step for job in workflow['jobs'].values() for step in job['steps']]
    commands = {step['run'] for step in steps if 'run' in step}
    assert commands == {'.ci/run', 'make docs', 'make test-oldest'}
    assert workflow['permissions'] == {'contents': 'read'}
    assert all(
        re.fullmatch(r'actions/[\w-]+@v\d+', step['uses']) for step in steps if 'uses' in step
    )
    pythons = workflow['jobs']['checks']['strategy']['matrix']['python']
    assert pythons[0] == PROJECT['requires-python'].removeprefix('>=')
    assert f'Programming Language :: Python :: {pythons[-1]}' in PROJECT['classifiers']


def test_faults_and_lipschitz_need_no_lightning_and_no_logger() -> None:
    parts = ('lipfault.faults', 'lipfault.lipschitz')
    imported = subprocess.run(
        [sys.executable, '-c', IMPORT_WITHOUT, *parts],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert imported.returncode == 0, imported.stderr
    names = imported.stdout.split()
    assert all(sum(name.startswith(f'{part}.') for name in names) > 10 for part in parts)


def test_configurations_are_part_of_the_package() -> None:
    assert (ROOT / 'lipfault/configs').resolve() == ROOT / 'configs'
