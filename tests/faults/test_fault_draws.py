"""Draws are a pure function of their keys, fair, and the same everywhere."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from lipfault.faults.draws import Draws
from lipfault.faults.splitmix import (
    GAMMA,
    mix,
    normal,
    torch_mix,
    torch_normal,
    torch_uniform,
    uniform,
)

IDS = st.lists(st.integers(-(2**40), 2**40), min_size=1, max_size=20)


def splitmix(state):
    """SplitMix64's finalizer in Python integers, from the paper."""
    mask = (1 << 64) - 1
    state = (state ^ (state >> 30)) * 0xBF58476D1CE4E5B9 & mask
    state = (state ^ (state >> 27)) * 0x94D049BB133111EB & mask
    return state ^ (state >> 31)


@given(st.lists(st.integers(0, 2**64 - 1), min_size=1, max_size=10))
def test_mix_is_splitmix(numbers):
    signed = np.array(numbers, dtype=np.uint64).view(np.int64)
    mixed = mix(torch.from_numpy(signed.copy())).numpy().view(np.uint64)
    assert mixed.tolist() == [splitmix(number) for number in numbers]


@pytest.mark.parametrize('shape', [(3, 5), (1, 1), (0, 4), (64, 300), (2, 3, 4097)])
def test_numpy_and_torch_hash_to_the_same_bits(shape):
    bits = torch.randint(-(2**63), 2**63 - 1, shape)
    before = bits.clone()
    mixed = torch_mix(bits)
    assert torch.equal(mix(bits), mixed)
    assert torch.equal(uniform(bits), torch_uniform(mixed.view(torch.int32)))
    assert torch.equal(uniform(bits, each=1), torch_uniform(mixed >> 32))
    assert torch.equal(normal(bits), torch_normal(mixed.view(torch.int16)))
    assert torch.equal(normal(bits, each=1), torch_normal(mixed))
    assert torch.equal(bits, before)


@pytest.mark.parametrize(
    'shape', [(6,), (1, 5), (6, 5), (6, 3, 4), (1, 9000), (6, 0), (6, 2, 5000)]
)
def test_counters_are_keyed(shape):
    counter, key = torch.randint(-(2**62), 2**62, shape), torch.randint(-(2**63), 2**63 - 1, (6,))
    bits = torch_mix(counter * GAMMA + key.view(-1, *[1] * (counter.ndim - 1)))
    assert torch.equal(uniform(counter, key, each=1), torch_uniform(bits >> 32))
    if counter.ndim > 1:
        assert torch.equal(uniform(counter, key), torch_uniform(bits.view(torch.int32)))
    assert torch.equal(normal(counter, key, each=1), torch_normal(bits))


def test_several_names_at_once_give_what_each_gives_alone():
    draws = Draws.of(0, 0, torch.arange(20))
    shapes = {'one': (), 'three': (3,), 'table': (2, 5)}
    for name, found in draws.uniforms(shapes).items():
        assert torch.equal(found, draws.uniform(name, shapes[name]))


@given(IDS, st.integers(0, 2**31), st.integers(0, 1000))
def test_a_row_depends_on_its_own_sample_only(ids, seed, epoch):
    draws = Draws.of(seed, epoch, torch.tensor(ids))
    whole = draws.uniform('u', (5,)), draws.normal('n', (2, 3)), draws.integers('i', 1, 6)
    for row, sample_id in enumerate(ids):
        alone = Draws.of(seed, epoch, torch.tensor([sample_id]))
        part = alone.uniform('u', (5,)), alone.normal('n', (2, 3)), alone.integers('i', 1, 6)
        for one, other in zip(part, whole, strict=True):
            assert torch.equal(one[0], other[row])


@pytest.mark.parametrize(
    'other',
    [
        Draws.of(1, 0, torch.arange(50)),
        Draws.of(0, 1, torch.arange(50)),
        Draws.of(0, 0, torch.arange(50, 100)),
        Draws.of(0, 0, torch.arange(50)).stream('s'),
        Draws.of(0, 0, torch.arange(50)).at(torch.ones(50, dtype=torch.int64)),
    ],
    ids=['seed', 'epoch', 'sample', 'stream', 'counter'],
)
def test_everything_in_the_key_matters(other):
    draws = Draws.of(0, 0, torch.arange(50))
    same = draws.uniform('u', (100,)) == other.uniform('u', (100,))
    assert same.sum() <= 2
    assert (
        abs(
            np.corrcoef(draws.uniform('u', (100,)).flatten(), other.uniform('u', (100,)).flatten())[
                0, 1
            ]
        )
        < 0.05
    )


def test_pinned_values_stay_for_ever():
    draws = Draws.of(0, 0, torch.tensor([0, 1]))
    assert draws.uniform('pinned', (2,)).tolist() == [PINNED[0], PINNED[1]]
    assert draws.normal('pinned').tolist() == PINNED[2]


PINNED = [
    [0.7731391191482544, 0.986987829208374],
    [0.4082046151161194, 0.5031141042709351],
    [-0.1304701566696167, -1.2761017084121704],
]


def test_uniform_is_uniform():
    values = Draws.of(3, 0, torch.arange(400)).uniform('u', (250,)).flatten().numpy()
    assert values.min() >= 0
    assert values.max() < 1
    assert stats.kstest(values, 'uniform').pvalue > 0.001
    assert abs(np.corrcoef(values[:-1], values[1:])[0, 1]) < 0.01


def test_normal_is_normal():
    values = Draws.of(3, 0, torch.arange(400)).normal('n', (250,)).flatten().numpy()
    assert stats.kstest(values, 'norm').pvalue > 0.001
    assert values.mean() == pytest.approx(0, abs=0.01)
    assert values.std() == pytest.approx(1, abs=0.01)
    assert abs(np.corrcoef(values[:-1], values[1:])[0, 1]) < 0.01


def test_samples_are_independent():
    values = Draws.of(3, 0, torch.arange(2000)).normal('n', (8,)).numpy()
    assert np.abs(np.corrcoef(values.T) - np.eye(8)).max() < 0.1
    assert abs(np.corrcoef(values[:-1].flatten(), values[1:].flatten())[0, 1]) < 0.03


@pytest.mark.parametrize('draw', ['uniform_at', 'normal_at'])
def test_counters_name_numbers(draw):
    draws = Draws.of(0, 0, torch.arange(3))
    long = getattr(draws, draw)('c', torch.arange(100).expand(3, 100))
    late = getattr(draws, draw)('c', torch.arange(40, 60).expand(3, 20))
    assert torch.equal(long[:, 40:60], late)
    assert len(long.unique()) > 290


def test_integers_cover_their_range_evenly():
    values = Draws.of(0, 0, torch.arange(6000)).integers('i', 1, 6)
    counts = values.bincount(minlength=7)
    assert counts[0] == 0
    assert stats.chisquare(counts[1:].numpy()).pvalue > 0.001


def test_integers_take_a_bound_for_each_sample():
    high = torch.arange(100) % 7
    values = Draws.of(0, 0, torch.arange(100)).integers('i', 0, high)
    assert bool((values <= high).all())
    assert bool((values[high == 0] == 0).all())


def test_choice_follows_the_weights():
    weights = torch.tensor([1.0, 0.0, 2.0, 5.0], dtype=torch.float64)
    counts = Draws.of(0, 0, torch.arange(8000)).choice('c', weights).bincount(minlength=4)
    assert counts[1] == 0
    assert stats.chisquare(counts[[0, 2, 3]].numpy(), [1000, 2000, 5000]).pvalue > 0.001


def test_choice_takes_weights_for_each_column():
    weights = torch.eye(3, dtype=torch.float64)
    chosen = Draws.of(0, 0, torch.arange(50)).choice('c', weights, (3,))
    assert torch.equal(chosen, torch.arange(3).expand(50, 3))


def test_taking_rows_keeps_their_numbers():
    draws = Draws.of(0, 0, torch.arange(10))
    rows = torch.tensor([7, 2, 2])
    assert torch.equal(draws.take(rows).uniform('u', (4,)), draws.uniform('u', (4,))[rows])
    assert torch.equal(draws.rows(3, 6).sign('s', (4,)), draws.sign('s', (4,))[3:6])


@pytest.mark.skipif(not torch.cuda.is_available(), reason='needs a GPU')
def test_bits_are_the_same_on_a_gpu():
    ids = torch.arange(100)
    here, there = Draws.of(0, 0, ids), Draws.of(0, 0, ids.cuda())
    for draw in (lambda d: d.uniform('u', (33,)), lambda d: d.normal('n', (33,))):
        assert torch.equal(draw(here), draw(there).cpu())
