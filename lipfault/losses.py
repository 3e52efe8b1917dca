"""Terms of the stage-2 objective, as functions from tensors to scalars.

The terms of reconstruction, similarity, contrast and detection follow Altinses & Schwung 2026;
those of attribution, location and masked reconstruction are added here.

Reference:
    Altinses & Schwung 2026, Layer-specific Lipschitz modulation for fault-tolerant multimodal
    representation learning, https://arxiv.org/abs/2603.25103
"""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

Signals = dict[str, Tensor]


def reconstruction(estimate: Signals, clean: Signals) -> Tensor:
    """Return the mean squared error of standardized signals, averaged over the modalities.

    Args:
        estimate: Signals by modality, (batch, channel, ...).
        clean: Clean signals of the same shapes.

    Returns:
        Scalar.
    """
    errors = [(estimate[n].float() - x).square().mean() for n, x in clean.items()]
    return torch.stack(errors).mean()


def masked_reconstruction(
    inferred: Signals,
    clean: Signals,
    masks: Signals,
    shared: Callable[[Tensor], Tensor] = Tensor.detach,
) -> Tensor:
    """Return the mean squared error over masked entries only, averaged over the modalities.

    Args:
        inferred: Standardized signals by modality, (batch, channel, ...).
        clean: Clean signals of the same shapes.
        masks: Maps in [0, 1], broadcastable to the signals; 1 is masked.
        shared: Mean over the processes that share a batch, so that every masked entry has the same
            weight.

    Returns:
        Scalar.

    Reference:
        He et al. 2022, Masked autoencoders are scalable vision learners,
        https://arxiv.org/abs/2111.06377
    """
    errors = []
    for name, truth in clean.items():
        weight = masks[name].expand_as(truth)
        error = weight * (inferred[name].float() - truth).square()
        # At least 1: a batch without a masked entry has a loss of 0.
        errors.append(error.sum() / shared(weight.sum()).clamp_min(1))
    return torch.stack(errors).mean()


def similarity(latents: Signals, clean: Signals) -> Tensor:
    """Return the mean squared distance of corrected latents from clean ones (the λ_sim term).

    Args:
        latents: Latents by modality, (batch, ...), not necessarily in units of variance.
        clean: Latents of the clean signals.

    Returns:
        Scalar: the error of `reconstruction`, of latents.

    Reference:
        Altinses & Schwung 2026, https://arxiv.org/abs/2603.25103
    """
    return reconstruction(latents, clean)


def contrastive(
    embedding: Tensor,
    faulty: Tensor,
    margin: float,
    pull: float = 1.0,
    visible: Tensor | None = None,
) -> Tensor:
    """Return the margin loss that pulls clean embeddings together and pushes faulty ones away.

    The mean over the pairs of a batch with a clean sample in them (the λ_con term), with the
    distance of a faulty sample taken from the centre of the clean ones.

    Args:
        embedding: (batch, embedding).
        faulty: (batch,) bool.
        margin: Distance required between a faulty sample and the clean centre.
        pull: Weight of the pull between clean samples, which sets the detector's clean gain.
        visible: (batch,) bool, the samples that contribute; all of them if not given.

    Returns:
        Scalar; 0 with a gradient of 0 if there are fewer than two clean samples or no faulty one.

    Reference:
        Hadsell, Chopra & LeCun 2006, Dimensionality reduction by learning an invariant mapping,
        https://doi.org/10.1109/CVPR.2006.100
    """
    embedding = embedding.float()
    visible = torch.ones_like(faulty) if visible is None else visible
    clean, moved = embedding[visible & ~faulty], embedding[visible & faulty]
    if len(clean) < 2 or len(moved) == 0:
        return embedding.sum() * 0  # with a graph, so that distributed training finds a gradient
    center = clean.mean(dim=0)
    # The mean squared distance from the centre is half that of all pairs, at linear cost.
    spread = (clean - center).square().sum(dim=1).mean()
    # 1e-12: the root has no gradient at 0.
    distance = (moved - center).square().sum(dim=1).add(1e-12).sqrt()
    return pull * spread + (margin - distance).relu().square().mean()


def detection(
    logits: Tensor,
    modality: Tensor,
    visible: Tensor | None = None,
    shared: Callable[[Tensor], Tensor] = Tensor.detach,
) -> Tensor:
    """Return the binary cross entropy of one logit for each modality.

    Args:
        logits: (batch, M), positive where a modality is faulty.
        modality: (batch, M) bool, the faulty modalities.
        visible: (batch,) bool, the samples that contribute; all of them if not given.
        shared: Mean over the processes that share a batch, so that every sample has the same
            weight.

    Returns:
        Scalar.
    """
    terms = binary_cross_entropy_with_logits(
        logits.float(), modality.float(), reduction='none'
    ).mean(dim=1)
    weight = torch.ones_like(terms) if visible is None else visible.to(terms.dtype)
    return (weight * terms).sum() / shared(weight.sum()).clamp_min(1)


def attribution(logits: Tensor, modality: Tensor, visible: Tensor) -> Tensor:
    """Return the cross entropy of the classes "no fault" and "fault of this modality".

    Unlike `detection`, it does not fix the logit of a sound modality beside a faulty one, whose
    residuals the fault may change as well; the faulty modality only needs the larger logit.

    Args:
        logits: (batch, M); the logit of "no fault" is 0.
        modality: (batch, M) bool, the faulty modalities; any of several is correct.
        visible: (batch,) bool, the samples that contribute.

    Returns:
        Scalar.
    """
    # (batch, 1 + M): class 0 is "no fault"
    logits = torch.cat([logits.new_zeros(len(logits), 1), logits], dim=1).float()
    correct = torch.cat([~modality.any(dim=1, keepdim=True), modality], dim=1)
    named = logits.masked_fill(~correct, -torch.inf).logsumexp(dim=1)
    return (visible * (logits.logsumexp(dim=1) - named)).mean()


def location(map_logits: Signals, masks: Signals) -> Tensor:
    """Return the binary cross entropy of the fault maps, averaged over the modalities.

    Args:
        map_logits: Logits by modality, (batch, channel or 1, ...).
        masks: Masks of the affected entries, broadcastable to the logits.

    Returns:
        Scalar.
    """
    terms = [
        binary_cross_entropy_with_logits(logits.float(), masks[n].expand_as(logits).float())
        for n, logits in map_logits.items()
    ]
    return torch.stack(terms).mean()
