"""Residuals from the scene and the frame before, and the locator at each pixel."""

import pytest
import torch
from torch.nn import functional

from lipfault.models.blocks.fault_map.locator import Locator
from lipfault.models.blocks.interface.types import Observation, SideInfo
from lipfault.models.blocks.posterior.fine_locator import FineLocator
from lipfault.models.blocks.posterior.image_corrector import ImageCorrector
from lipfault.models.blocks.posterior.scene import COUNT, median_of_nine, scene_residuals

NOISE = torch.tensor([0.1, 0.2, 0.3])


def test_the_median_of_nine_is_that_of_sorting():
    frame = torch.randn(2, 3, 7, 5)
    padded = functional.pad(frame, (1, 1, 1, 1), mode='replicate')
    around = functional.unfold(padded, 3).view(2, 3, 9, 7, 5)
    assert torch.equal(median_of_nine(frame), around.median(dim=2).values)


def test_residuals_are_zero_for_a_repeated_flat_scene_and_show_one_pixel():
    frame, median = torch.full((1, 3, 6, 6), 0.5), torch.full((3, 6, 6), 0.5)
    frame[0, 1, 2, 3] += 1.0
    from_scene, from_neighbours, change = scene_residuals(frame, median, frame, NOISE)
    assert not change.any()
    for residual in (from_scene, from_neighbours):
        assert residual[0, 1, 2, 3] == 1.0
        assert int((residual != 0).sum()) == 1


def test_an_unknown_frame_before_counts_as_a_live_camera():
    frame, median = torch.randn(2, 3, 6, 6), torch.zeros(3, 6, 6)
    expected = (2**0.5 * NOISE)[:, None, None].expand(2, 3, 6, 6)
    unknown = scene_residuals(frame, median, None, NOISE)
    assert len(unknown) == COUNT
    assert torch.equal(unknown[2], expected)
    previous = torch.full_like(frame, torch.nan)
    previous[0] = 0.0
    change = scene_residuals(frame, median, previous, NOISE)[2]
    assert torch.equal(change[0], frame[0])
    assert torch.equal(change[1], expected[1])


def test_the_fine_locator_starts_as_the_coarse_one_and_resolves_one_pixel():
    torch.manual_seed(0)
    coarse = Locator('image', 3, 6, 8)
    locator = FineLocator(coarse, 6)
    views = torch.randn(2, 6, 16, 16)
    assert torch.equal(locator(views)[0], coarse(views)[0])
    torch.nn.init.normal_(locator.end.weight)
    changed = views.clone()
    changed[0, :, 5, 5] += 9.0
    moved = (locator(changed)[0] - coarse(changed)[0]) - (locator(views)[0] - coarse(views)[0])
    # Two convolutions of 3 x 3, and the patch of 4 x 4 that the coarse logits share with it.
    assert moved[0, 0, 5, 5] != 0
    assert not moved[1].any()


@pytest.fixture
def corrector():
    torch.manual_seed(0)
    corrector = ImageCorrector(3, (16, 16), is_predicted=True, width=8)
    for parameter in corrector.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    return corrector.eval()


def test_an_unknown_pixel_of_the_frame_before_has_no_weight(corrector):
    frame, predicted, still = (
        torch.randn(2, 3, 16, 16),
        torch.randn(2, 3, 16, 16),
        torch.zeros(2, 1),
    )
    without = corrector(frame, predicted, None, still)
    unknown = corrector(frame, predicted, torch.full_like(frame, torch.nan), still)
    torch.testing.assert_close(unknown, without)
    known = corrector(frame, predicted, frame + 5, still)
    assert torch.isfinite(known).all()
    assert (known - without).abs().mean() > 0.1


def test_side_information_selects_the_frames_before():
    some = SideInfo(previous={'camera': torch.arange(3.0)}).rows(torch.tensor([2, 0]))
    assert some.previous['camera'].tolist() == [2, 0]
    assert Observation({'camera': torch.zeros(1, 1, 4, 4)}).side_info.previous == {}
