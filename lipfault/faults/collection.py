"""All faults by name, and the kinds that a configuration selects."""

import difflib
import importlib
from collections.abc import Iterable
from functools import cache

from lipfault.errors import LipfaultError
from lipfault.faults.config import FaultConfig
from lipfault.faults.fault import AnyFault, Fault
from lipfault.faults.patterns import PATTERNS
from lipfault.modality import Modality

# Paths instead of imports: the names alone are needed in many places, the classes in few.
_CLASSES = {
    'aliasing': 'series.timing.Aliasing',
    'backlash': 'series.backlash.Backlash',
    'bias': 'series.offset.Bias',
    'blackout': 'image.stream.Blackout',
    'blocking': 'image.geometry.Blocking',
    'channel_swap': 'series.range.ChannelSwap',
    'clock_skew': 'series.timing.ClockSkew',
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
    'duplication': 'series.timing.Duplication',
    'dust': 'image.lens.Dust',
    'exposure_hunting': 'image.shutter.ExposureHunting',
    'flicker': 'image.shutter.Flicker',
    'fog': 'image.lens.Fog',
    'frame_drop': 'image.shutter.FrameDrop',
    'frozen_frame': 'image.stream.FrozenFrame',
    'gain': 'series.range.Gain',
    'gaussian_noise': 'image.noise.GaussianNoise',
    'glare': 'image.lens.Glare',
    'impulse_noise': 'image.noise.ImpulseNoise',
    'index_error': 'series.encoder.MissedIndex',
    'jitter': 'series.timing.Jitter',
    'knock': 'image.geometry.Knock',
    'lost_counts': 'series.encoder.LostCounts',
    'low_pass': 'series.timing.LowPass',
    'missing_frame': 'image.stream.MissingFrame',
    'motion_blur': 'image.blur.MotionBlur',
    'noise_additive': 'series.noise.AdditiveNoise',
    'noise_burst': 'series.burst.NoiseBurst',
    'noise_multiplicative': 'series.noise.MultiplicativeNoise',
    'noise_signal': 'series.noise.SignalNoise',
    'occlusion': 'image.lens.Occlusion',
    'oscillation': 'series.offset.Oscillation',
    'over_exposure': 'image.exposure.OverExposure',
    'packet_loss': 'series.burst.PacketLoss',
    'quantization': 'series.range.Quantization',
    'rolling_shutter': 'image.shutter.RollingShutter',
    'saturation': 'series.range.Saturation',
    'scratches': 'image.lens.Scratches',
    'sensor_swap': 'cross.SensorSwap',
    'shot_noise': 'image.noise.ShotNoise',
    'sign_flip': 'series.range.SignFlip',
    'spikes': 'series.noise.Spikes',
    'stripes': 'image.shading.Stripes',
    'stuck': 'series.loss.Stuck',
    'stuck_bit': 'series.encoder.StuckBit',
    'tear': 'image.stream.Tear',
    'under_exposure': 'image.exposure.UnderExposure',
    'vignetting': 'image.shading.Vignetting',
    'white_balance': 'image.shading.WhiteBalance',
    'wrap': 'series.encoder.Wrap',
}

# Sorted: labels hold indices into this tuple, and files hold names, since a new kind moves indices.
NAMES = tuple(_CLASSES)
"""Names of the built-in faults, sorted; the kind in a label is an index into this tuple."""


@cache
def catalogue() -> dict[str, AnyFault]:
    """Return the built-in faults by name, sorted.

    Returns:
        One instance of each fault; they have no state.

    Example:
        >>> catalogue()['bias'].formula
        "x' = x ± A"
    """
    return {name: load(f'lipfault.faults.{path}') for name, path in _CLASSES.items()}


def load(path: str) -> AnyFault:
    """Instantiate a fault from the path of its class, for example a user's own.

    Args:
        path: `package.module.ClassName` of a subclass of `lipfault.faults.fault.Fault`.

    Returns:
        The fault.

    Raises:
        LipfaultError: If there is no such class, or it is not a fault.
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
    """Instantiate the user's own faults among the names of a configuration.

    Args:
        names: Names as `expand` accepts them.

    Returns:
        The faults by name, sorted.

    Raises:
        LipfaultError: If one has the name of a built-in fault, or two share one name.
    """
    own: dict[str, AnyFault] = {}
    for path in sorted({name for name in names if '.' in name}):
        fault = load(path)
        if fault.name in NAMES or fault.name in own:
            raise LipfaultError(
                f'fault {path!r}: there is another fault named {fault.name!r}; rename one of them'
            )
        own[fault.name] = fault
    return dict(sorted(own.items()))


def expand(name: str) -> list[AnyFault]:
    """Return the faults that a name selects.

    Args:
        name: A kind, a group, a family, or the class path of a user's own fault.

    Returns:
        At least one fault.

    Raises:
        LipfaultError: If the name is unknown; suggests the nearest known one.

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


def _is_known(name: str) -> bool:
    """Return whether a name is that of a built-in kind, group or family."""
    return any(name in (fault.name, fault.group, fault.family) for fault in catalogue().values())


def unknown(what: str, name: str, known: Iterable[str]) -> LipfaultError:
    """Build the error for an unknown name, with the nearest known one as a suggestion.

    Args:
        what: What the name was expected to name, such as `fault`.
        name: The unknown name.
        known: The known names.

    Returns:
        The error, to be raised.
    """
    known = list(known)
    near = difflib.get_close_matches(str(name), known, n=1, cutoff=0.4)
    hint = f'did you mean {near[0]!r}?' if near else f'known are {", ".join(known)}'
    return LipfaultError(f'unknown {what} {name!r}: {hint}')


def held_out_faults(config: FaultConfig) -> list[AnyFault]:
    """Return the faults that `held_out` selects, without the patterns.

    A group or a family selects the user's own faults of the configuration as well.

    Args:
        config: Settings of the engine.

    Returns:
        The faults, in the order of the names.

    Raises:
        LipfaultError: If a name is unknown.
    """
    own = own_faults([*(config.kinds or ()), *config.held_out]).values()
    found: list[AnyFault] = []
    for name in config.held_out:
        if name in PATTERNS:
            continue
        alike = [fault for fault in own if name in (fault.name, fault.group, fault.family)]
        # The name may be of a group that only the user's own faults have.
        found += alike if alike and not _is_known(name) else [*expand(name), *alike]
    return found


def weighted_kinds(config: FaultConfig, held_out: bool = False) -> dict[AnyFault, float]:
    """Return the kinds to draw with their weights.

    Args:
        config: Settings of the engine.
        held_out: Whether to draw the kinds held out instead of the others.

    Returns:
        Weight of each kind, not normalized.

    Raises:
        LipfaultError: If no kind is left, a name is unknown, or a kind that loses values is
            requested while `missing` is false.
    """
    if held_out and not config.held_out:
        raise LipfaultError('faults: held_out is empty, so nothing held out can be drawn')
    weights = _requested(config)
    held = {fault.name: fault for fault in held_out_faults(config)}
    if held_out and held:
        named = {fault.name: weight for fault, weight in weights.items()}
        weights = {fault: named.get(name, 1.0) for name, fault in held.items()}
    else:
        weights = {fault: weight for fault, weight in weights.items() if fault.name not in held}
    if not config.missing:
        weights = {fault: weight for fault, weight in weights.items() if not fault.missing}
    if not sum(weights.values()) > 0:
        left = 'held_out selects no kind to draw' if held_out else 'held_out leaves no kind to draw'
        raise LipfaultError(f'faults: {left}, got held_out {config.held_out}')
    return weights


def require_fitting(config: FaultConfig, modalities: Iterable[Modality]) -> None:
    """Reject a kind of `kinds` that no modality can have.

    Groups and families may hold kinds that do not fit.

    Args:
        config: Settings of the engine.
        modalities: The modalities.

    Raises:
        LipfaultError: Names the kind and says what it needs.
    """
    modalities = list(modalities)
    for name, weight in (config.kinds or {}).items():
        faults = expand(name) if weight > 0 else []
        if len(faults) == 1 and not any(faults[0].fits(modality) for modality in modalities):
            have = ', '.join(f'{m.name} ({m.kind}, {len(m.channels)} channels)' for m in modalities)
            needs = {'series': 'a series', 'image': 'an image', 'cross': 'a pattern'}
            least = f' of {faults[0].min_channels} channels or more'
            raise LipfaultError(
                f'faults: kinds: {name!r} fits none of the modalities {have}; it needs '
                f'{needs[faults[0].family]}{least if faults[0].min_channels > 1 else ""}'
            )


def _requested(config: FaultConfig) -> dict[AnyFault, float]:
    """Return the weights of `kinds`, each group's shared among its members."""
    if config.kinds is None:
        # Cross-modal kinds are drawn on request only: one of them needs a second sensor.
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
