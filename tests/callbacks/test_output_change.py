"""Output changes of a certificate in physical units, and their statements."""

import pytest
import torch

from lipfault.callbacks.output_change import largest_output_change
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


def test_channel_with_the_largest_change_relative_to_its_range_is_selected():
    change = largest_output_change(
        'camera', ARM, (INJECTED, FOUND), torch.tensor([2.0, 0.5]).double()
    )
    assert change.to_dict() == {
        'source': 'camera', 'output': 'arm', 'channel': 'q2', 'unit': '1',
        'median': pytest.approx(0.2), 'worst': pytest.approx(0.4), 'bound': 0.5, 'span': 1.0,
    }  # fmt: skip
    assert change.statement() == (
        'Faults of camera within its physical range change q2 of the corrected arm by 0.2 (median) '
        'and by 0.4 in the worst case found; the certified bound is 0.5.'
    )


def test_bound_beyond_the_range_is_not_informative():
    found = torch.tensor([[3.0, 0.0]])
    change = largest_output_change(
        'camera', ARM, (INJECTED, found), torch.tensor([600.0, 0.5]).double()
    )
    assert not change.is_informative
    assert change.statement() == (
        'Faults of camera within its physical range change q1 of the corrected arm by 0.2 rad '
        '(median) and by 3 rad in the worst case found; the certified bound is 600 rad, not '
        'below the physical range of 6 rad.'
    )


@pytest.mark.parametrize('which', [0, 1])
def test_change_beyond_its_bound_is_an_error(which):
    changes = [INJECTED, INJECTED]
    changes[which] = torch.tensor([[0.1, 0.7]])
    with pytest.raises(LipfaultError, match=r'0.7 of arm in q2 exceeds its certified bound 0.5'):
        largest_output_change(
            'camera', ARM, (changes[0], changes[1]), torch.tensor([2.0, 0.5]).double()
        )
