"""Truly missing values: where they are, and something finite in their place."""

from collections.abc import Mapping

from torch import Tensor

from lipfault.modality import Modality


def split_missing(
    observed: Mapping[str, Tensor], modalities: Mapping[str, Modality]
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Separate signals with missing values (NaN) into finite signals and presence masks.

    A missing value becomes the middle of the channel's physical range, which says nothing; a model
    that must not take it for a reading needs the mask.

    Args:
        observed: Signals by modality, (batch, channel, ...).
        modalities: The modalities.

    Returns:
        The finite signals, and for each modality a bool mask of the same shape, true where a value
        is present.
    """
    finite, present = {}, {}
    for name, signal in observed.items():
        modality = modalities[name]
        ends = zip(modality.low, modality.high, strict=True)
        middle = signal.new_tensor([(low + high) / 2 for low, high in ends])
        present[name] = ~signal.isnan()
        finite[name] = signal.where(
            present[name], middle.reshape(-1, *[1] * (signal.ndim - 2)).expand_as(signal)
        )
    return finite, present
