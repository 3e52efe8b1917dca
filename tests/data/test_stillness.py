"""A repeated frame has the stillness 1."""

import math

import pytest
import torch

from lipfault.data.stillness import stillness
from lipfault.modality import Modality

CAMERA = Modality(
    'camera', 'image', 10.0, ('grey',), ('1',), (0.0,), (1.0,), (0.01,), size=(32, 32)
)


def still(frame, before):
    return stillness({'camera': frame}, {'camera': before}, {'camera': CAMERA})['camera']


def test_the_same_frame_again():
    frame = torch.rand(3, 1, 32, 32)
    assert torch.equal(still(frame, frame.clone()), torch.ones(3))


def test_noise_on_a_still_scene():
    torch.manual_seed(0)
    scene = torch.rand(8, 1, 32, 32)
    one, other = (scene + 0.01 * torch.randn_like(scene) for _ in range(2))
    assert still(one, other).tolist() == pytest.approx([math.exp(-math.sqrt(2))] * 8, rel=0.1)


def test_a_moving_scene():
    assert float(still(torch.zeros(1, 1, 32, 32), torch.ones(1, 1, 32, 32))) < 1e-9


def test_missing_pixels_do_not_count():
    frame = torch.rand(2, 1, 32, 32)
    before = frame.clone()
    frame[0, :, 16:] = torch.nan
    frame[1] = torch.nan
    assert still(frame, before).tolist() == [1.0, 0.0]


def test_only_what_has_a_frame_before():
    assert stillness({'camera': torch.zeros(1, 1, 32, 32)}, {}, {'camera': CAMERA}) == {}
