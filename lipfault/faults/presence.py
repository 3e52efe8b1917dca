"""Missing values: masks of presence, and finite values in their place."""

from collections.abc import Mapping

from torch import Tensor

from lipfault.modality import Modality


def split_missing(
    observed: Mapping[str, Tensor], modalities: Mapping[str, Modality]
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Separate signals with missing values (NaN) into finite signals and presence masks.

    A missing value is replaced by the middle of the channel's physical range. A model needs the
    mask to distinguish it from a reading.

    Args:
        observed: Signals by modality, (batch, channel, ...).
        modalities: Descriptions of the modalities.

    Returns:
        The finite signals, and for each modality a bool mask of the same shape, true where a value
        is present.

    Reference:
        Little & Rubin 2019, Statistical analysis with missing data,
        https://doi.org/10.1002/9781119482260 (response indicator)
    """
    finite, present = {}, {}
    for name, signal in observed.items():
        modality = modalities[name]
        ends = zip(modality.low, modality.high, strict=True)
        middle = signal.new_tensor([(low + high) / 2 for low, high in ends])
        present[name] = ~signal.isnan()
        # (C, 1) or (C, 1, 1): one value for each channel
        finite[name] = signal.where(
            present[name], middle.reshape(-1, *[1] * (signal.ndim - 2)).expand_as(signal)
        )
    return finite, present
