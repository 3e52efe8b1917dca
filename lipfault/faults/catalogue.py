"""All faults by name, and those that the settings ask for."""

import difflib
import importlib
from collections.abc import Iterable
from functools import cache

from lipfault.errors import LipfaultError
from lipfault.faults.config import FaultConfig
from lipfault.faults.fault import AnyFault, Fault
from lipfault.faults.patterns import PATTERNS

_CLASSES = {
    'aliasing': 'series.timing.Aliasing',
    'bias': 'series.offset.Bias',
    'blackout': 'image.stream.Blackout',
    'blocking': 'image.geometry.Blocking',
    'channel_swap': 'series.range.ChannelSwap',
    'colour_shift': 'image.exposure.ColourShift',
    'colour_swap': 'image.exposure.ColourSwap',
    'dead_lines': 'image.noise.DeadLines',
    'dead_pixels': 'image.noise.DeadPixels',
    'defocus': 'image.blur.Defocus',
    'delay': 'series.timing.Delay',
    'desynchronization': 'cross.Desynchronization',
    'dirt': 'image.lens.Dirt',
    'drift_exponential': 'series.offset.ExponentialDrift',
    'drift_linear': 'series.offset.LinearDrift',
    'drift_logarithmic': 'series.offset.LogarithmicDrift',
    'drift_walk': 'series.offset.WalkDrift',
    'dropout_hold': 'series.loss.DropoutHold',
    'dropout_nan': 'series.loss.DropoutNan',
    'dropout_zero': 'series.loss.DropoutZero',
    'drops': 'image.lens.Drops',
    'dust': 'image.lens.Dust',
    'fog': 'image.lens.Fog',
    'frozen_frame': 'image.stream.FrozenFrame',
    'gain': 'series.range.Gain',
    'gaussian_noise': 'image.noise.GaussianNoise',
    'glare': 'image.lens.Glare',
    'impulse_noise': 'image.noise.ImpulseNoise',
    'jitter': 'series.timing.Jitter',
    'knock': 'image.geometry.Knock',
    'low_pass': 'series.timing.LowPass',
    'missing_frame': 'image.stream.MissingFrame',
    'motion_blur': 'image.blur.MotionBlur',
    'noise_additive': 'series.noise.AdditiveNoise',
    'noise_multiplicative': 'series.noise.MultiplicativeNoise',
    'noise_signal': 'series.noise.SignalNoise',
    'occlusion': 'image.lens.Occlusion',
    'oscillation': 'series.offset.Oscillation',
    'over_exposure': 'image.exposure.OverExposure',
    'quantization': 'series.range.Quantization',
    'saturation': 'series.range.Saturation',
    'scratches': 'image.lens.Scratches',
    'sensor_swap': 'cross.SensorSwap',
    'shot_noise': 'image.noise.ShotNoise',
    'sign_flip': 'series.range.SignFlip',
    'spikes': 'series.noise.Spikes',
    'stuck': 'series.loss.Stuck',
    'tear': 'image.stream.Tear',
    'under_exposure': 'image.exposure.UnderExposure',
}

NAMES = tuple(_CLASSES)
"""Names of the built-in faults, sorted; a label's kind is the place in this order."""


@cache
def catalogue() -> dict[str, AnyFault]:
    """The built-in faults by name, sorted.

    Example:
        >>> catalogue()['bias'].formula
        "x' = x ± A"
    """
    return {name: load(f'lipfault.faults.{path}') for name, path in _CLASSES.items()}


def load(path: str) -> AnyFault:
    """Make a fault from the path of its class, your own for instance.

    Args:
        path: `package.module.ClassName` of a subclass of `lipfault.faults.fault.Fault`.

    Raises:
        LipfaultError: If there is no such class, or it is no fault.
    """
    module, _, name = path.rpartition('.')
    try:
        kind = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise LipfaultError(f'fault {path!r} cannot be imported: {error}') from error
    if not (isinstance(kind, type) and issubclass(kind, Fault)):
        raise LipfaultError(f'fault {path!r} must be a subclass of lipfault.faults.fault.Fault')
    return kind()


def own_faults(names: Iterable[str]) -> dict[str, AnyFault]:
    """The faults of a user's own among the names of settings, by name, in a fixed order.

    Args:
        names: Names as `expand` takes them.

    Raises:
        LipfaultError: If one is named like a built-in fault, or two have one name.
    """
    own: dict[str, AnyFault] = {}
    for path in sorted({name for name in names if '.' in name}):
        fault = load(path)
        if fault.name in NAMES or fault.name in own:
            raise LipfaultError(
                f'fault {path!r}: there is another fault named {fault.name!r}; give it a name of '
                'its own'
            )
        own[fault.name] = fault
    return dict(sorted(own.items()))


def expand(name: str) -> list[AnyFault]:
    """The faults that a name stands for: a kind, a group, a family or a class path.

    Raises:
        LipfaultError: If it stands for none; names the nearest.

    Example:
        >>> [fault.name for fault in expand('swap')]
        ['channel_swap', 'colour_swap']
    """
    faults = catalogue()
    found = [fault for fault in faults.values() if name in (fault.name, fault.group, fault.family)]
    if found:
        return found
    if '.' in name:
        return [load(name)]
    labels = {label for fault in faults.values() for label in (fault.group, fault.family)}
    raise unknown('fault', name, sorted(labels | set(faults)))


def unknown(what: str, name: str, known: Iterable[str]) -> LipfaultError:
    """Word the error for a name that is none of the known ones."""
    known = list(known)
    near = difflib.get_close_matches(str(name), known, n=1, cutoff=0.4)
    hint = f'did you mean {near[0]!r}?' if near else f'known are {", ".join(known)}'
    return LipfaultError(f'unknown {what} {name!r}: {hint}')


def held_out_faults(config: FaultConfig) -> list[AnyFault]:
    """The faults that `held_out` stands for, names of patterns aside.

    Raises:
        LipfaultError: If it names something unknown.
    """
    return [fault for name in config.held_out if name not in PATTERNS for fault in expand(name)]


def weighted_kinds(config: FaultConfig, held_out: bool = False) -> dict[AnyFault, float]:
    """The kinds to draw with their weights.

    Args:
        config: The settings.
        held_out: Give the kinds held out instead of the others.

    Raises:
        LipfaultError: If no kind is left, a name is unknown, or a kind that loses values is asked
            for while `missing` is false.
    """
    if held_out and not config.held_out:
        raise LipfaultError('faults: held_out names nothing, so there is nothing held out to draw')
    weights = _asked(config)
    held = {fault.name: fault for fault in held_out_faults(config)}
    if held_out and held:
        named = {fault.name: weight for fault, weight in weights.items()}
        weights = {fault: named.get(name, 1.0) for name, fault in held.items()}
    else:
        weights = {fault: weight for fault, weight in weights.items() if fault.name not in held}
    if not config.missing:
        weights = {fault: weight for fault, weight in weights.items() if not fault.missing}
    if not sum(weights.values()) > 0:
        left = 'held_out names no kind to draw' if held_out else 'held_out leaves no kind to draw'
        raise LipfaultError(f'faults: {left}, got held_out {config.held_out}')
    return weights


def _asked(config: FaultConfig) -> dict[AnyFault, float]:
    if config.kinds is None:
        return {fault: 1.0 for fault in catalogue().values() if fault.family != 'cross'}
    weights: dict[AnyFault, float] = {}
    for name, weight in config.kinds.items():
        faults = expand(name)
        if not config.missing and all(fault.missing for fault in faults):
            raise LipfaultError(
                f'faults: kinds: {name!r} makes values missing (NaN); set missing: true'
            )
        for fault in faults:
            weights[fault] = weight / len(faults)
    return weights
