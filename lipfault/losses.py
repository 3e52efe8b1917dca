"""Terms of the stage-2 objective: tensors in, scalars out."""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

Signals = dict[str, Tensor]


def reconstruction(estimate: Signals, clean: Signals) -> Tensor:
    """Mean squared error of standardized signals, averaged over the modalities."""
    errors = [(estimate[n].float() - x).square().mean() for n, x in clean.items()]
    return torch.stack(errors).mean()


def hidden_reconstruction(
    inferred: Signals,
    clean: Signals,
    hidden: Signals,
    shared: Callable[[Tensor], Tensor] = Tensor.detach,
) -> Tensor:
    """Mean squared error over the hidden places only, averaged over the modalities.

    Args:
        inferred: Standardized signals.
        clean: The truth.
        hidden: Maps in [0, 1], broadcastable to the signals; 1 is hidden.
        shared: Mean over the processes that share a batch, so that every hidden place counts alike.
    """
    errors = []
    for name, truth in clean.items():
        weight = hidden[name].expand_as(truth)
        error = weight * (inferred[name].float() - truth).square()
        errors.append(error.sum() / shared(weight.sum()).clamp_min(1))
    return torch.stack(errors).mean()


def similarity(latents: Signals, clean: Signals) -> Tensor:
    """Mean squared distance of corrected latents from clean ones (the paper's λ_sim term)."""
    errors = [(latents[n].float() - z).square().mean() for n, z in clean.items()]
    return torch.stack(errors).mean()


def contrastive(
    embedding: Tensor,
    faulty: Tensor,
    margin: float,
    pull: float = 1.0,
    visible: Tensor | None = None,
) -> Tensor:
    """Clean embeddings pulled together, faulty ones pushed beyond a margin from the clean ones.

    The margin form of Hadsell, Chopra and LeCun 2006 over all pairs of a batch that have a clean
    sample in them (the paper's λ_con term).

    Args:
        embedding: (batch, embedding).
        faulty: (batch,) bool.
        margin: Distance wanted between a faulty and a clean sample.
        pull: Weight of the pull between clean samples, which sets the detector's clean gain.
        visible: (batch,) bool, the samples that count; all of them if not given.
    """
    embedding = embedding.float()
    visible = torch.ones_like(faulty) if visible is None else visible
    clean, moved = embedding[visible & ~faulty], embedding[visible & faulty]
    if len(clean) < 2 or len(moved) == 0:
        return embedding.sum() * 0
    center = clean.mean(dim=0)
    spread = (clean - center).square().sum(dim=1).mean()
    distance = (moved - center).square().sum(dim=1).add(1e-12).sqrt()
    return pull * spread + (margin - distance).relu().square().mean()


def detection(
    logits: Tensor,
    modality: Tensor,
    visible: Tensor | None = None,
    shared: Callable[[Tensor], Tensor] = Tensor.detach,
) -> Tensor:
    """Binary cross entropy of (batch, M) logits against (batch, M) faulty modalities.

    Args:
        logits: Positive where a modality is faulty.
        modality: The truth, bool.
        visible: (batch,) bool, the samples that count; all of them if not given.
        shared: Mean over the processes that share a batch, so that every sample counts alike.
    """
    terms = binary_cross_entropy_with_logits(
        logits.float(), modality.float(), reduction='none'
    ).mean(dim=1)
    weight = torch.ones_like(terms) if visible is None else visible.to(terms.dtype)
    return (weight * terms).sum() / shared(weight.sum()).clamp_min(1)


def attribution(logits: Tensor, modality: Tensor, visible: Tensor) -> Tensor:
    """Cross entropy of the classes "no fault" and "fault of this modality".

    Unlike `detection` it leaves open what the logit of a sound modality is beside a faulty one,
    which it may contradict; only the faulty one has to be larger.

    Args:
        logits: (batch, M), that of "no fault" is 0.
        modality: (batch, M) bool, the faulty modalities; it is right to name any of several.
        visible: (batch,) bool, the samples that count.
    """
    logits = torch.cat([logits.new_zeros(len(logits), 1), logits], dim=1).float()
    right = torch.cat([~modality.any(dim=1, keepdim=True), modality], dim=1)
    named = logits.masked_fill(~right, -torch.inf).logsumexp(dim=1)
    return (visible * (logits.logsumexp(dim=1) - named)).mean()


def location(map_logits: Signals, masks: Signals) -> Tensor:
    """Binary cross entropy of the fault maps, averaged over the modalities."""
    terms = [
        binary_cross_entropy_with_logits(logits.float(), masks[n].expand_as(logits).float())
        for n, logits in map_logits.items()
    ]
    return torch.stack(terms).mean()
