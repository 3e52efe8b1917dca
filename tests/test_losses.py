import math

import pytest
import torch
from torch.nn import functional

from lipfault import losses


def test_contrastive_by_hand():
    embedding = torch.tensor([[0.0, 1.0], [0.0, -1.0], [3.0, 0.0], [0.5, 0.0]])
    faulty = torch.tensor([False, False, True, True])
    # Centre 0, clean spread 1; one fault is beyond the margin of 2, the other 1.5 short of it.
    assert losses.contrastive(embedding, faulty, 2.0).item() == pytest.approx(1 + 1.5**2 / 2)
    pulled = losses.contrastive(embedding, faulty, 2.0, pull=3.0)
    assert pulled.item() == pytest.approx(3 + 1.5**2 / 2)


@pytest.mark.parametrize('faulty', [[True, True, True], [False, False, False], [True, True, False]])
def test_contrastive_without_a_pair_is_zero_and_has_a_gradient(faulty):
    embedding = torch.randn(3, 4, requires_grad=True)
    loss = losses.contrastive(embedding, torch.tensor(faulty), 1.0)
    loss.backward()
    assert loss.item() == 0
    assert torch.equal(embedding.grad, torch.zeros(3, 4))


def test_masked_reconstruction_counts_only_what_is_masked():
    truth = {'a': torch.zeros(1, 2, 4)}
    estimate = {'a': torch.tensor([[[1.0, 9.0, 9.0, 9.0], [9.0, 2.0, 9.0, 9.0]]])}
    masks = {'a': torch.zeros(1, 2, 4)}
    masks['a'][0, 0, 0] = masks['a'][0, 1, 1] = 1
    assert losses.masked_reconstruction(estimate, truth, masks).item() == pytest.approx(2.5)


def test_reconstruction_weighs_modalities_alike():
    truth = {'a': torch.zeros(1, 1), 'b': torch.zeros(1, 100)}
    estimate = {'a': torch.ones(1, 1), 'b': torch.zeros(1, 100)}
    assert losses.reconstruction(estimate, truth).item() == pytest.approx(0.5)


def test_what_cannot_be_seen_does_not_train_the_detector():
    logits = torch.tensor([[2.0, -1.0], [0.5, 0.0], [-3.0, 1.0]], requires_grad=True)
    modality = torch.tensor([[True, False], [False, True], [False, False]])
    visible = torch.tensor([True, False, True])
    loss = losses.detection(logits, modality, visible)
    assert loss.item() == pytest.approx(losses.detection(logits[visible], modality[visible]).item())
    loss.backward()
    assert logits.grad[1].abs().max() == 0 < logits.grad[0].abs().min()
    embedding, faulty = torch.randn(5, 3), torch.tensor([False, False, True, True, False])
    seen = torch.tensor([True, True, True, False, False])
    assert losses.contrastive(embedding, faulty, 4.0, 1.0, seen) == losses.contrastive(
        embedding[seen], faulty[seen], 4.0
    )


def test_attribution_by_hand():
    logits = torch.tensor([[0.0, 0.0], [1.0, -1.0], [3.0, 2.0], [9.0, -9.0]])
    modality = torch.tensor([[False, False], [True, False], [True, True], [False, True]])
    visible = torch.tensor([True, True, True, False])
    e = math.e
    clean = math.log(3)
    one = math.log(1 + e + 1 / e) - 1
    either = math.log(1 + e**3 + e**2) - math.log(e**3 + e**2)
    loss = losses.attribution(logits, modality, visible)
    assert loss.item() == pytest.approx((clean + one + either) / 4)


def test_attribution_agrees_with_the_cross_entropy_of_torch():
    logits = torch.randn(50, 3)
    classes = torch.randint(0, 4, (50,))
    modality = functional.one_hot(classes, 4)[:, 1:].bool()
    loss = losses.attribution(logits, modality, torch.ones(50, dtype=torch.bool))
    with_none = functional.pad(logits, (1, 0))
    torch.testing.assert_close(loss, functional.cross_entropy(with_none, classes))


def test_attribution_stays_finite_far_out():
    logits = torch.tensor([[200.0, -200.0], [-200.0, 200.0]], requires_grad=True)
    modality = torch.tensor([[False, True], [False, True]])
    loss = losses.attribution(logits, modality, torch.tensor([True, True]))
    loss.backward()
    assert loss.item() == pytest.approx(200)
    assert logits.grad.isfinite().all()
