"""The faster versions of torch operations equal these."""

import pytest
import torch

from lipfault.faults.device import any_along, both, choose, take_rows, write_rows

SHAPES = [(3, 5, 8), (4, 1, 6), (2, 3, 1), (1, 2, 100)]


@pytest.mark.parametrize('shape', SHAPES)
@pytest.mark.parametrize('share', [0.0, 0.05, 0.5, 1.0])
def test_any_along(shape, share):
    mask = torch.rand(shape) < share
    for axis in (0, 1, 2, -1):
        assert torch.equal(any_along(mask, axis), mask.any(axis))
    part = (torch.rand(shape[0], shape[1], shape[2] + 3) < share)[..., 3:]
    assert torch.equal(any_along(part, 2), part.any(2))
    odd = (torch.rand(9) < share)[1:].view(1, 1, 8)  # does not begin at a multiple of four bytes
    assert torch.equal(any_along(odd, 2), odd.any(2))


def test_both_broadcasts():
    one, other = torch.rand(4, 3, 1) < 0.5, torch.rand(4, 1, 7) < 0.5
    assert torch.equal(both(one, other), one & other)
    wide = other.expand(4, 3, 7)
    assert torch.equal(both(wide, one), wide & one)


@pytest.mark.parametrize('mask', ['full', 'broadcast', 'expanded'])
def test_choose_takes_bits_as_they_are(mask):
    special = torch.tensor([0.0, -0.0, torch.nan, torch.inf, -torch.inf, 1e-40, 3.5])
    inside, outside = (special[torch.randint(0, 7, (5, 3, 4, 4))] for _ in range(2))
    where = torch.rand(5, 1 if mask == 'broadcast' else 3, 4, 4) < 0.5
    if mask == 'expanded':
        where = where[:, :1, :, :1].expand(5, 1, 4, 4)
    expected = torch.where(where, inside, outside)
    kept = outside.clone()
    chosen = choose(where, inside, outside)
    assert torch.equal(chosen.view(torch.int32), expected.view(torch.int32))
    assert torch.equal(outside.view(torch.int32), kept.view(torch.int32))


@pytest.mark.parametrize('channels', [1, 3])
def test_take_rows_gathers(channels):
    values, place = torch.rand(4, 3, 9, 2), torch.randint(0, 9, (4, channels, 5))
    index = place.expand(4, 3, 5)[..., None].expand(4, 3, 5, 2)
    assert torch.equal(take_rows(values, place), values.gather(2, index))


@pytest.mark.parametrize('dtype', [torch.float32, torch.bool, torch.uint8, torch.bfloat16])
def test_write_rows_writes_rows(dtype):
    target, values = (10 * torch.rand(6, 3, 2)).to(dtype), (10 * torch.rand(2, 3, 2)).to(dtype)
    rows = torch.tensor([4, 1])
    expected = target.index_copy(0, rows, values)
    write_rows(target, rows, values)
    assert torch.equal(target, expected)
    column = target[:, 1]
    write_rows(column, rows, values[:, 0])
    assert torch.equal(target[rows, 1], values[:, 0])
