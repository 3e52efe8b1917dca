"""The list of mutations fits the code; `make mutants` examines them."""

from pathlib import Path

import pytest

from tests.mutation.run import ROOT, mutations

LISTED = mutations()


@pytest.mark.parametrize('mutation', LISTED, ids=[mutation.name for mutation in LISTED])
def test_a_mutation_changes_one_place_and_its_tests_exist(mutation):
    changed = mutation.mutated(ROOT)
    compile(changed, mutation.file, 'exec')
    for test in mutation.tests:
        assert (ROOT / test.split('::')[0]).is_file(), test
    assert Path(mutation.file).parts[0] == 'lipfault'


def test_names_are_unique_and_three_may_survive():
    names = [mutation.name for mutation in LISTED]
    assert len(set(names)) == len(names) >= 60
    assert sum(bool(mutation.survives) for mutation in LISTED) <= 3
