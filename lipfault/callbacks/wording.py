"""A fault gain in plain words, for an engineer."""

from torch import Tensor

from lipfault.modality import Modality


def sentence(source: str, modality: Modality, moved: tuple[Tensor, Tensor], width: Tensor) -> str:
    """What a fault on one modality does to another, in physical units.

    Of the channels the one is told whose worst change is largest in relation to its range.

    Args:
        source: The faulty modality.
        modality: The modality that is read out.
        moved: Root mean square changes over the window (sample, channel): of the injected faults,
            and of those that the adversary found.
        width: (channel,) certified width of the values' interval: no change can be larger.
    """
    span = width.new_tensor(modality.high) - width.new_tensor(modality.low)
    worst = moved[0].amax(dim=0).maximum(moved[1].amax(dim=0)).double()
    channel = int((worst / span.to(worst)).argmax())
    unit = '' if modality.units[channel] == '1' else f' {modality.units[channel]}'
    typical = float(moved[0][:, channel].median())
    bound = float(width[channel])
    remark = ''
    if bound >= float(span[channel]):
        remark = f' (more than its whole range of {float(span[channel]):.3g}{unit}: no promise)'
    return (
        f'If {source} fails within its range, the cleaned {modality.name} moves, in '
        f'{modality.channels[channel]}, typically {typical:.3g}{unit}, in the worst case found '
        f'{float(worst[channel]):.3g}{unit}, and at most {bound:.3g}{unit}{remark}.'
    )
