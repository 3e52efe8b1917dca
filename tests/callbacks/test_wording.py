"""A certificate's figures in physical units, and the words for them."""

import pytest
import torch

from lipfault.callbacks.wording import largest_move
from lipfault.errors import LipfaultError
from lipfault.modality import Modality

ARM = Modality(
    name='arm',
    kind='series',
    rate_hz=100.0,
    channels=('q1', 'q2'),
    units=('rad', '1'),
    low=(-3.0, 0.0),
    high=(3.0, 1.0),
    noise=(0.01, 0.01),
)
INJECTED = torch.tensor([[0.1, 0.2], [0.3, 0.1], [0.2, 0.3]])
FOUND = torch.tensor([[0.9, 0.4]])


def test_channel_that_moves_most_in_relation_to_its_range_is_told():
    move = largest_move('camera', ARM, (INJECTED, FOUND), torch.tensor([2.0, 0.5]).double())
    assert move.to_dict() == {
        'source': 'camera', 'output': 'arm', 'channel': 'q2', 'unit': '1',
        'typical': pytest.approx(0.2), 'worst': pytest.approx(0.4), 'bound': 0.5, 'span': 1.0,
    }  # fmt: skip
    assert move.sentence() == (
        'If camera fails within its range, the cleaned arm moves, in q2, typically 0.2 and in the '
        'worst case found 0.4; more than 0.5 is impossible.'
    )


def test_bound_beyond_the_range_is_no_promise():
    found = torch.tensor([[3.0, 0.0]])
    move = largest_move('camera', ARM, (INJECTED, found), torch.tensor([600.0, 0.5]).double())
    assert not move.promises
    assert move.sentence() == (
        'If camera fails within its range, the cleaned arm moves, in q1, typically 0.2 rad and in '
        'the worst case found 3 rad; no limit below its whole range of 6 rad can be promised (the '
        'bound is 600 rad).'
    )


@pytest.mark.parametrize('which', [0, 1])
def test_change_beyond_its_bound_is_an_error(which):
    moved = [INJECTED, INJECTED]
    moved[which] = torch.tensor([[0.1, 0.7]])
    with pytest.raises(LipfaultError, match=r'arm moved by 0.7 in q2, but at most 0.5'):
        largest_move('camera', ARM, (moved[0], moved[1]), torch.tensor([2.0, 0.5]).double())
