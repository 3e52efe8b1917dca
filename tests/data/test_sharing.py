"""Processes share windows; no process is started."""

import pytest

from lipfault.data.sharing import EvaluationSampler, TrainSampler


def batches(order, size):
    order = list(order)
    return [order[i : i + size] for i in range(0, len(order), size)]


@pytest.mark.parametrize('windows', [1, 3, 4, 9, 16, 17, 23])
@pytest.mark.parametrize('processes', [2, 3])
def test_batches_are_those_of_one_process(windows, processes):
    data = list(range(windows))
    samplers = [EvaluationSampler(data, processes, rank, 4) for rank in range(processes)]
    shared = [batches(sampler, 4) for sampler in samplers]
    assert len({len(own) for own in shared}) == 1
    assert [len(sampler) for sampler in samplers] == [sum(map(len, own)) for own in shared]
    alone = batches(data, 4)
    assert all(batch in alone for own in shared for batch in own)
    assert all(any(batch in own for own in shared) for batch in alone)


@pytest.mark.parametrize('windows', [4, 9, 23])
def test_predictions_are_made_once(windows):
    data = list(range(windows))
    shared = [place for rank in range(2) for place in EvaluationSampler(data, 2, rank, 4, False)]
    assert sorted(shared) == data


@pytest.mark.parametrize('windows', [64, 71, 79])
def test_batch_of_all_processes_is_the_batch_of_one(windows):
    data = list(range(windows))
    alone = TrainSampler(data, 1, 0, 5, 16, lambda: 0)
    pair = [TrainSampler(data, 2, rank, 5, 8, lambda: 0) for rank in range(2)]
    for epoch in range(2):
        for sampler in (alone, *pair):
            sampler.set_epoch(epoch)
        left, right = (batches(sampler, 8) for sampler in pair)
        whole = [batch for batch in batches(alone, 16) if len(batch) == 16]
        assert len(whole) == len([b for b in left if len(b) == 8])
        for batch, first, second in zip(whole, left, right, strict=False):
            assert sorted(batch) == sorted(first + second)


def test_interrupted_epoch_goes_on_where_it_was_left():
    done = 0
    sampler = TrainSampler(list(range(40)), 1, 0, 5, 8, lambda: done)
    sampler.set_epoch(3)
    whole = list(sampler)
    done = 2
    assert list(sampler) == whole[16:]
