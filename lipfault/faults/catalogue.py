"""All faults by name."""

import difflib
import importlib
from collections.abc import Iterable
from typing import Any

from lipfault.errors import LipfaultError
from lipfault.faults.cross import Desynchronization, SensorSwap
from lipfault.faults.fault import Fault
from lipfault.faults.image import blur, exposure, geometry, lens, stream
from lipfault.faults.image import noise as image_noise
from lipfault.faults.series import loss, noise, offset, timing
from lipfault.faults.series import range as series_range

AnyFault = Fault[Any]

_KINDS: tuple[type[AnyFault], ...] = (
    offset.Bias,
    offset.LinearDrift,
    offset.ExponentialDrift,
    offset.LogarithmicDrift,
    offset.WalkDrift,
    offset.Oscillation,
    noise.AdditiveNoise,
    noise.MultiplicativeNoise,
    noise.SignalNoise,
    noise.Spikes,
    loss.Stuck,
    loss.DropoutZero,
    loss.DropoutHold,
    loss.DropoutNan,
    series_range.Gain,
    series_range.Saturation,
    series_range.Quantization,
    series_range.ChannelSwap,
    series_range.SignFlip,
    timing.Delay,
    timing.Jitter,
    timing.LowPass,
    timing.Aliasing,
    image_noise.GaussianNoise,
    image_noise.ShotNoise,
    image_noise.ImpulseNoise,
    image_noise.DeadPixels,
    image_noise.DeadLines,
    blur.Defocus,
    blur.MotionBlur,
    lens.Occlusion,
    lens.Dirt,
    lens.Drops,
    lens.Scratches,
    lens.Dust,
    lens.Fog,
    lens.Glare,
    exposure.OverExposure,
    exposure.UnderExposure,
    exposure.ColourShift,
    exposure.ColourSwap,
    stream.FrozenFrame,
    stream.Blackout,
    stream.Tear,
    stream.MissingFrame,
    geometry.Knock,
    geometry.Blocking,
    Desynchronization,
    SensorSwap,
)

CATALOGUE: dict[str, AnyFault] = {
    kind.name: kind() for kind in sorted(_KINDS, key=lambda kind: kind.name)
}
"""The built-in faults, sorted by name; a label's kind is the place in this order."""


def load(name: str) -> AnyFault:
    """Find a fault by its name, or by the path of a class of your own.

    Args:
        name: Name in the catalogue, or `package.module.ClassName` of a subclass of `Fault`.

    Raises:
        LipfaultError: If there is no such fault; names the nearest.

    Example:
        >>> load('bias').group
        'offset'
    """
    if name in CATALOGUE:
        return CATALOGUE[name]
    if '.' in name:
        return _load_class(name)
    raise unknown(name, CATALOGUE)


def unknown(name: str, known: Iterable[str]) -> LipfaultError:
    """Word the error for a name that is none of the known ones."""
    known = list(known)
    near = difflib.get_close_matches(str(name), known, n=1, cutoff=0.4)
    hint = f'did you mean {near[0]!r}?' if near else f'known are {", ".join(known)}'
    return LipfaultError(f'unknown fault {name!r}: {hint}')


def _load_class(path: str) -> AnyFault:
    module, _, name = path.rpartition('.')
    try:
        kind = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise LipfaultError(f'fault {path!r} cannot be imported: {error}') from error
    if not (isinstance(kind, type) and issubclass(kind, Fault)):
        raise LipfaultError(f'fault {path!r} must be a subclass of lipfault.faults.fault.Fault')
    return kind()
