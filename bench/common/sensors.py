"""Modalities of made-up recordings."""

from lipfault.modality import Modality


def joints(name: str, channels: int, rate_hz: float) -> Modality:
    """Return a series of joint angles in rad, with the range and noise of a robot arm.

    Args:
        name: Name of the modality.
        channels: Number of joints.
        rate_hz: Sampling rate.
    """
    names = tuple(f'q{number}' for number in range(channels))
    low, high, noise = ((value,) * channels for value in (-3.0, 3.0, 0.002))
    return Modality(name, 'series', rate_hz, names, ('rad',) * channels, low, high, noise)


def camera(side: int, rate_hz: float = 10.0) -> Modality:
    """Return a square RGB camera with values in [0, 1].

    Args:
        side: Height and width in pixels.
        rate_hz: Frame rate.
    """
    low, high, noise = ((value,) * 3 for value in (0.0, 1.0, 0.01))
    colours = ('r', 'g', 'b')
    return Modality('camera', 'image', rate_hz, colours, ('1',) * 3, low, high, noise, (side, side))
