"""Which compute block, and its sizes."""

from collections.abc import Mapping
from dataclasses import dataclass

from lipfault.domains import Depth, Width, validated


@validated
@dataclass
class BlockConfig:
    """Kind and sizes of a compute block.

    Args:
        kind: `fault_map`, the default, which corrects inside its fault map only; `posterior`, which
            corrects by the size of the fault; `paper`, as published; one of
            `lipfault.models.blocks.baselines`; or the class path of a block of your own.
        corrector_width: Hidden units of the dense corrector, and of the trunk of `paper`.
        detector_width: Hidden units of the dense detector.
        embedding: Dimensions of the detector's embedding.
        local_widths: Hidden channels of a locator, and of an inpainter of `fault_map`, by kind of
            modality.
        rounds: Number of corrections: by `fault_map` in evaluation, each masked by the refined
            fault map of the round before; by `posterior`, each from the evidence at the sizes of
            the round before.
        code: Dimensions of the joint code of `vae` and `pca`.
        repeats: Whether the classifiers of series receive repeated values, means and spreads,
            evidence of a frozen sensor; by default in windows of fewer than 64 samples.
    """

    kind: str = 'fault_map'
    corrector_width: Width = 768
    detector_width: Width = 256
    embedding: Width = 64
    local_widths: Mapping[str, Width] | None = None
    rounds: Depth = 2
    code: Width = 128
    repeats: bool | None = None
