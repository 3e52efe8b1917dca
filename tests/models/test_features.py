"""Summaries of a fault map."""

import torch

from lipfault.models.blocks.fault_map.features import NOTHING, map_features


def test_channels_are_sorted_by_their_largest_logit():
    logits = torch.full((1, 3, 16), -5.0)
    logits[0, 1, 4:8] = 3.0
    logits[0, 2, 8:10] = 3.0  # half of a patch of four
    found = map_features(logits, torch.zeros(1, 8, 2), 4)
    torch.testing.assert_close(found[0, :4], torch.tensor([3.0, -1.0, -5.0, NOTHING]))
    torch.testing.assert_close(
        found[:, :4], map_features(logits[:, [2, 0, 1]], torch.zeros(1, 8, 2), 4)[:, :4]
    )


def test_image_positions_and_the_marked_share():
    logits = torch.full((1, 1, 16, 16), -20.0)
    logits[..., :8, :8] = 20.0
    found = map_features(logits, torch.zeros(1, 8, 2, 2), 3)
    torch.testing.assert_close(found[0, :3], torch.tensor([20.0, -20.0, -20.0]))
    torch.testing.assert_close(found[0, 3].exp(), torch.tensor(0.25))
