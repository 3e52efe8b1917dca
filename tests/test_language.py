"""The language of the project: words that are gone stay gone, and docstrings name what they take.

The words were a dialect of this code base; each has a word of the field in its place. A rule lists
only what is never meant otherwise, with the legitimate uses beside it.
"""

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
NETWORK = (
    'autoencoder|block|classifier|corrector|decoder|detector|discriminator|encoder|inpainter|'
    'locator|model|network|refiner'
)


@dataclass(frozen=True)
class Rule:
    """A word or phrase that is gone.

    Args:
        pattern: Regular expression of it, whatever the case.
        instead: The words in its place.
        allowed: Regular expression of legitimate uses, removed from a line before it is searched.
        exempt: Beginnings of the paths in which the word has another meaning.
    """

    pattern: str
    instead: str
    allowed: str | None = None
    exempt: tuple[str, ...] = ()


# A word by itself or as a part of an identifier: `told`, `_told`, `tell_changes`.
PHRASES = {
    'told': Rule(r'(?<![a-z])told(?![a-z])', 'given, conditioned on, oracle', r'told apart'),
    'tell': Rule(
        r'(?<![a-z])(tells?|telling)(?![a-z])',
        'say, report, name, distinguish',
        # Optuna's and a file's own methods.
        r'\btell(ing|s)?( \w+)? apart|\.tell\(|def tell\(self|ask-and-tell',
    ),
    'whoever': Rule(r'\bwhoever\b', 'name the user or the object'),
    'what is known': Rule(r'\bwhat (is|was|are|were) known\b', 'description of'),
    'as far as': Rule(r'\bas far as\b', 'if, where, within'),
    'out come': Rule(r'\bout comes?\b', 'outputs: ...'),
    'can fake': Rule(r'\bcan fake\b', 'invariant to'),
    'lie over': Rule(r'\b(lies?|laid|lay( it| them)?) over\b', 'override, after'),
    'came of': Rule(r'\bwhat came of\b', 'results'),
    'made of it': Rule(
        r'\bwhat (it|they|\w+s|an? \w+|the \w+) ma(de|kes?) of\b', 'outputs of, effect on'
    ),
    'suspicion': Rule(r'suspicion', 'modality_logits'),
    'rival': Rule(r'(?<![a-z])rivals?(?![a-z])', 'baselines'),
    'rehearsal': Rule(r'rehears', 'fault scenario'),
    'lesson': Rule(r'(?<![a-z])lessons?(?![a-z])', 'StepData'),
    'arbiter': Rule(r'arbiter', 'MapRefiner'),
    'restorer': Rule(r'restorers?(?![a-z])', 'Inpainter'),
    'place scale': Rule(
        r'place_?scale|place_?coder|paper_block', 'PixelScale, PositionCoder, paper.py'
    ),
    'contradiction': Rule(r'contradictions?\b', 'cross-modal residual'),
    'pieces': Rule(
        r'(?<![a-z])pieces(?![a-z])|(?-i:\b_?PIECE\b)',
        'chunks',
        r'[wW]ork pieces',
        ('lipfault/cells/', 'docs/cells.md'),  # what is welded, and parts of a trajectory
    ),
    'cleaned': Rule(r'(?<![a-z])cleaned(?![a-z])', 'corrected'),
    'blame': Rule(r'(?<![a-z])blam(e|es|ed|ing)(?![a-z])', 'predicted modality'),
    'mend': Rule(r'(?<![a-z])(mend|mends|mended|mending)(?![a-z])', 'fix, correct'),
    'mistake_of': Rule(r'\bmistakes?(_of\b|\.py\b)', 'user_error, error_messages'),
    'theory number': Rule(r'\bTHEORY[ .]?\d|\bTHEORY,? section', 'docs/theory.md, section N'),
    'persons': Rule(
        rf'\b({NETWORK})s? (sees?|saw|knows?|believes?|judges?|asks?|tells?)\b',
        'conditions on, receives, classifies, ...',
    ),
}
IDENTIFIERS = {
    'told': 'side_info, oracle',
    'usual': 'pixel_scale',
    'hide': 'mask',
    'hiding': 'masking',
    'mistake': 'error',
    'mistakes': 'error_messages',
    'Known': 'SideInfo',
    'piece': 'chunk',
}
"""Names of variables, parameters, attributes, functions and classes, and their words, that are
gone."""
MATHEMATICS = ('lipfault/lipschitz', 'lipfault/metrics', 'lipfault/losses.py', 'lipfault/models')
SHAPE = re.compile(
    r'\([\w* ×.]+,[^)]*\)|\b[Ss]calars?\b|\bshaped?s?\b|\bsame tensor\b|\bbroadcastable\b'
)
SECTION = re.compile(r'^(Args|Returns|Raises|Reference|References|Example|Examples|Yields|Note):')


def written() -> list[Path]:
    """All files whose words are checked."""
    patterns = (
        'lipfault/**/*.py', 'lipfault/**/*.html', 'configs/**/*.yaml', 'docs/**/*.md',
        'experiments/**/*.md', 'README.md', 'CONTRIBUTING.md',
    )  # fmt: skip
    return sorted(path for pattern in patterns for path in ROOT.glob(pattern))


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@pytest.mark.parametrize('rule', PHRASES.values(), ids=PHRASES)
def test_words_that_are_gone(rule: Rule) -> None:
    found = []
    for path in written():
        if name_of(path).startswith(rule.exempt):
            continue
        # A phrase may be broken between two lines, in a comment with a new mark.
        lines = path.read_text().splitlines()
        for number, line in enumerate(lines, start=1):
            following = lines[number].lstrip(' #') if number < len(lines) else ''
            kept = re.sub(rule.allowed, '', f'{line} {following}') if rule.allowed else None
            text = f'{line} {following}' if kept is None else kept
            hit = re.search(rule.pattern, text, re.IGNORECASE)
            if hit and hit.start() < len(line.rstrip()):
                found.append(f'{name_of(path)}:{number}: {line.strip()[:110]}')
    assert not found, f'say {rule.instead!r} instead:\n' + '\n'.join(found)


def identifiers(tree: ast.AST) -> Iterator[tuple[str, int]]:
    """Names that a module gives, with their lines; not those that it only uses."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            yield node.name, node.lineno
        elif isinstance(node, ast.arg):
            yield node.arg, node.lineno
        elif isinstance(node, ast.Name | ast.Attribute) and isinstance(node.ctx, ast.Store):
            yield getattr(node, 'id', getattr(node, 'attr', '')), node.lineno


def test_identifiers_that_are_gone() -> None:
    found = []
    for path in sorted((ROOT / 'lipfault').rglob('*.py')):
        welds = name_of(path).startswith('lipfault/cells/')  # whose pieces are of metal
        for name, line in identifiers(ast.parse(path.read_text())):
            words = {name, *name.split('_')} - ({'piece'} if welds else set())
            found += [
                f'{name_of(path)}:{line}: {name}, say {IDENTIFIERS[word]}'
                for word in words & set(IDENTIFIERS)
            ]
    assert not found, '\n'.join(found)


def test_the_rules_find_what_they_should() -> None:
    dialect = {
        'told': '_told = 1',
        'tell': 'def _tell_changes(self)',
        'lie over': 'configurations lie over each other',
        'made of it': 'what it made of it',
        'pieces': '_PIECE = 2**16',
        'persons': 'what the detector sees',
        'theory number': 'see THEORY 6',
    }
    for name, text in dialect.items():
        assert re.search(PHRASES[name].pattern, text, re.IGNORECASE), name
    legitimate = {
        'told': 'links that can be told apart',
        'tell': 'study.tell(trial, value)',
        'mend': 'we recommend it',
        'persons': 'a model asked for by name',
        'pieces': 'a piecewise polynomial',
        'rival': 'the arrival of a frame',
    }
    for name, text in legitimate.items():
        rest = re.sub(PHRASES[name].allowed or r'(?!)', '', text)
        assert not re.search(PHRASES[name].pattern, rest, re.IGNORECASE), name


@dataclass(frozen=True)
class Function:
    """A public function or method of the mathematical packages."""

    node: ast.FunctionDef
    where: str

    @property
    def decorators(self) -> str:
        return ' '.join(ast.unparse(d) for d in self.node.decorator_list)

    @property
    def is_property(self) -> bool:
        return bool(re.search(r'\b(cached_)?property\b', self.decorators))

    @property
    def parameters(self) -> list[str]:
        a = self.node.args
        named = [p.arg for p in (*a.posonlyargs, *a.args, *a.kwonlyargs)]
        return [name for name in named if name not in ('self', 'cls')]

    @property
    def returns(self) -> str:
        return '' if self.node.returns is None else ast.unparse(self.node.returns)

    def sections(self) -> dict[str, str]:
        """Text of the docstring before its sections, under '', and of each section."""
        parts, name = {'': ''}, ''
        for line in (ast.get_docstring(self.node) or '').splitlines():
            if header := SECTION.match(line):
                name = header[1]
            parts[name] = parts.get(name, '') + line + '\n'
        return parts


def functions() -> Iterator[Function]:
    """Public functions, and public methods of public classes, outside other functions."""
    for prefix in MATHEMATICS:
        top = ROOT / prefix
        for path in sorted(top.rglob('*.py')) if top.is_dir() else [top]:
            yield from _public(ast.parse(path.read_text()), name_of(path))


def _public(parent: ast.AST, file: str) -> Iterator[Function]:
    for node in ast.iter_child_nodes(parent):
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith('_'):
            if isinstance(node, ast.ClassDef):
                yield from _public(node, file)
            elif not re.search(
                r'overload|\.setter', ' '.join(map(ast.unparse, node.decorator_list))
            ):
                yield Function(node, f'{file}:{node.lineno}: {node.name}')


def test_parameters_of_the_mathematics_are_described() -> None:
    lacking = [
        f.where
        for f in functions()
        if f.parameters and not f.is_property and 'Args' not in f.sections()
    ]
    assert not lacking, 'no Args section:\n' + '\n'.join(lacking)


def test_described_parameters_exist() -> None:
    wrong = []
    for function in functions():
        described = re.findall(
            r'^ {4}\*{0,2}(\w+)(?: \([^)]*\))?:', function.sections().get('Args', ''), re.MULTILINE
        )
        a = function.node.args
        extra = [p.arg for p in (a.vararg, a.kwarg) if p is not None]
        unknown = sorted(set(described) - set(function.parameters) - set(extra))
        wrong += [f'{function.where}: no parameter {name!r}' for name in unknown]
    assert not wrong, '\n'.join(wrong)


def test_returned_tensors_of_the_mathematics_have_a_shape() -> None:
    lacking = []
    for function in functions():
        of_autograd = function.parameters[:1] == ['ctx']
        if of_autograd or function.returns not in ('Tensor', 'torch.Tensor'):
            continue
        parts = function.sections()
        text = '\n'.join(parts.values()) if function.is_property else parts.get('Returns', '')
        if not SHAPE.search(text):
            lacking.append(function.where)
    assert not lacking, 'no Returns section that names a shape:\n' + '\n'.join(lacking)
