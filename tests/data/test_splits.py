"""Splits are by episode, disjoint, and a function of the ids and the seed."""

from itertools import chain

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lipfault.data.splits import split_episodes
from lipfault.errors import LipfaultError

FRACTIONS = {'pretrain': 0.4, 'finetune': 0.36, 'calibration': 0.12, 'test': 0.12}
IDS = [f'e{number:02d}' for number in range(25)]


@given(
    st.integers(8, 60),
    st.integers(0, 2**32),
    st.lists(st.floats(0.15, 1.0), min_size=1, max_size=5),
)
def test_every_episode_is_in_exactly_one_split(count, seed, shares):
    ids = [f'e{number}' for number in range(count)]
    splits = {f's{number}': share for number, share in enumerate(shares)}
    if count * min(shares) / sum(shares) < 2:
        return
    assigned = split_episodes(ids, splits, seed)
    assert list(assigned) == list(splits)
    assert sorted(chain.from_iterable(assigned.values())) == sorted(ids)
    for name, share in splits.items():
        assert abs(len(assigned[name]) - count * share / sum(shares)) <= 1


def test_sizes_of_the_default_splits():
    assert [len(ids) for ids in split_episodes(IDS, FRACTIONS).values()] == [10, 9, 3, 3]


def test_the_order_of_the_ids_does_not_matter():
    assert split_episodes(IDS, FRACTIONS) == split_episodes(IDS[::-1], FRACTIONS)


def test_the_seed_matters():
    assert split_episodes(IDS, FRACTIONS, 0) != split_episodes(IDS, FRACTIONS, 1)


def test_the_assignment_is_pinned():
    """A change here would move test episodes into other people's training splits."""
    assert split_episodes(IDS, FRACTIONS)['test'] == ['e02', 'e20', 'e21']


def test_lists_and_fractions_mix():
    assigned = split_episodes(IDS, {'test': ['e03', 'e01'], 'train': 2.0, 'val': 1.0})
    assert assigned['test'] == ['e01', 'e03']
    assert {name: len(ids) for name, ids in assigned.items()} == {'test': 2, 'train': 15, 'val': 8}
    assert not {'e01', 'e03'} & {*assigned['train'], *assigned['val']}


def test_unlisted_episodes_stay_out():
    assert split_episodes(IDS, {'test': ['e03']}) == {'test': ['e03']}


@pytest.mark.parametrize(
    ('splits', 'message'),
    [
        ({'train': 0.99, 'rare': 0.01}, "split 'rare' has no episode: 25 episodes"),
        ({'train': 1.0, 'rare': []}, "split 'rare' has no episode"),
        ({'train': ['e01', 'e99']}, "split 'train': there is no episode 'e99'.* e00, e01"),
        ({'train': ['e01'], 'test': ['e02', 'e01']}, "'e01' is in split 'train' and in 'test'"),
        ({'train': ['e01', 'e01']}, "'e01' is in split 'train' and in 'train'"),
        ({'train': 1.0, 'test': -0.1}, "split 'test': its share must be positive, got -0.1"),
        ({'train': float('nan')}, "split 'train': its share must be positive, got nan"),
    ],
)
def test_impossible_splits_are_refused(splits, message):
    with pytest.raises(LipfaultError, match=message):
        split_episodes(IDS, splits)


def test_few_episodes_fill_every_split_of_the_default():
    shares = {'pretrain': 0.4, 'finetune': 0.36, 'calibration': 0.12, 'test': 0.12}
    for count in range(4, 30):
        ids = [f'e{i:02d}' for i in range(count)]
        filled = split_episodes(ids, shares, fill=True)
        assert all(filled.values())
        assert sorted(i for part in filled.values() for i in part) == ids
    assert split_episodes(ids, shares, fill=True) == split_episodes(ids, shares)
    with pytest.raises(LipfaultError, match='has no episode'):
        split_episodes(ids[:3], shares, fill=True)
