"""Inject faults with one function call, without a DataModule or a trainer."""

from collections.abc import Iterable, Mapping
from dataclasses import replace

import torch
from torch import Tensor

from lipfault.errors import LipfaultError
from lipfault.faults.collection import catalogue, expand, unknown
from lipfault.faults.config import FaultConfig
from lipfault.faults.engine import FaultEngine
from lipfault.faults.inputs import require_history
from lipfault.faults.labels import FaultLabels
from lipfault.modality import Modality


def inject_faults(
    signals: Mapping[str, Tensor],
    modalities: Mapping[str, Modality],
    faults: FaultConfig | Iterable[str] | None = None,
    *,
    history: Mapping[str, Tensor] | None = None,
    sample_id: Tensor | None = None,
    epoch: int = 0,
    seed: int | None = None,
) -> tuple[dict[str, Tensor], FaultLabels]:
    """Inject seeded faults into a batch, as a function of (seed, epoch, sample id).

    In a loop over many batches, a `FaultEngine` checks the settings only once. For a modality
    without history, kinds that read samples from before the window (`Fault.needs_history`) are left
    out of groups, families and the default; one that is named itself is an error.

    Args:
        signals: Clean signals by modality: series (batch, channel, time) in physical units, images
            (batch, channel, height, width) in [0, 1], or uint8.
        modalities: Descriptions of the same modalities.
        faults: Names of kinds, groups, families or class paths: every sample gets one of these
            kinds. `None` stands for all kinds. With a `FaultConfig`, its settings hold, among them
            the share of clean samples.
        history: Samples directly before the window: series (batch, channel, steps), images
            (batch, frame, channel, height, width). Modalities may be absent.
        sample_id: (batch,) int64; 0, 1, 2, ... if not given.
        epoch: Epoch of the draws; 0 for validation and test.
        seed: Seed of the draws; that of the `FaultConfig`, or 0, if not given.

    Returns:
        The observed signals and the labels; `labels.kind` indexes `kind_names(faults)`.

    Raises:
        LipfaultError: If a modality, a kind, a shape or a sample id does not fit, a signal holds
            NaN, or a kind needs a history that is not given.

    Example:
        >>> imu = Modality('imu', 'series', 100.0, ('x',), ('g',), (-2.0,), (2.0,), (0.01,))
        >>> clean = {'imu': torch.zeros(4, 1, 50)}
        >>> observed, labels = inject_faults(clean, {'imu': imu}, ['bias', 'spikes'], seed=1)
        >>> [kind_names()[kind] for kind in labels.kind[:, 0].tolist()]
        ['bias', 'spikes', 'spikes', 'spikes']
        >>> bool(observed['imu'][labels.mask['imu']].ne(0).all())
        True
    """
    config = _config(faults)
    if seed is not None:
        config = replace(config, seed=seed)
    _check_signals(signals, modalities)
    require_history(history or {}, signals)
    if sample_id is None:
        sample_id = torch.arange(len(next(iter(signals.values()))))
    without = [name for name in modalities if not _has_history(name, history or {})]
    config = _without_history(config, [modalities[name] for name in without])
    return FaultEngine(modalities, config)(signals, history, sample_id, epoch)


def kind_names(faults: FaultConfig | Iterable[str] | None = None) -> tuple[str, ...]:
    """Return the names that the kinds in the labels of `inject_faults` stand for.

    Args:
        faults: The argument of `inject_faults`; only a user's own faults add to the names.

    Returns:
        The built-in names, followed by the user's own.
    """
    config = _config(faults)
    own = [fault.name for name in (config.kinds or ()) if '.' in name for fault in expand(name)]
    return (*catalogue(), *sorted(own))


def _config(faults: FaultConfig | Iterable[str] | None) -> FaultConfig:
    """Return the settings that the argument `faults` stands for."""
    if isinstance(faults, FaultConfig):
        return faults
    if isinstance(faults, str):  # a string is an iterable of its letters
        faults = [faults]
    kinds = None if faults is None else dict.fromkeys(faults, 1.0)
    lossy = any(fault.missing for name in (kinds or ()) for fault in expand(name))
    return FaultConfig(kinds=kinds, clean_share=0.0, missing=lossy)


def _check_signals(signals: Mapping[str, Tensor], modalities: Mapping[str, Modality]) -> None:
    """Reject unknown or absent modalities, and NaN."""
    if not signals:
        raise LipfaultError('inject_faults: signals is empty; give at least one modality')
    for name in signals:
        if name not in modalities:
            raise unknown('modality', name, modalities)
    for name, signal in signals.items():
        count = int(signal.isnan().sum()) if isinstance(signal, Tensor) else 0
        if count:
            raise LipfaultError(
                f'inject_faults: {name!r} holds {count} NaN; fill them, or use FaultEngine, which '
                'keeps missing values missing'
            )


def _has_history(name: str, history: Mapping[str, Tensor]) -> bool:
    """Return whether a modality has at least one earlier sample."""
    if name not in history:
        return False
    return history[name].shape[1 if history[name].ndim == 5 else -1] > 0


def _without_history(config: FaultConfig, modalities: list[Modality]) -> FaultConfig:
    """Hold out the kinds that need a history of modalities that have none."""
    for name in config.kinds or ():
        found = expand(name)
        refused = [
            modality.name
            for modality in modalities
            for fault in found
            if fault.needs_history and fault.fits(modality)
        ]
        if refused and all(fault.needs_history for fault in found):
            raise LipfaultError(
                f'fault {name!r} reads samples from before the window: give a history of '
                f'{refused[0]!r}, or leave this fault out'
            )
    left_out = [
        name
        for name, fault in catalogue().items()
        if fault.needs_history and any(fault.fits(modality) for modality in modalities)
    ]
    # Held out, so that patterns of several modalities do not use them either.
    return replace(config, held_out=[*config.held_out, *left_out])
