"""Arrays that a test writes to `results.npz`: values per sample, and example signals."""

from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

SPLIT_NAMES = {'seen': 'fault kinds seen in training', 'unseen': 'fault kinds unseen in training'}
"""Titles of the two test splits in figures."""

_VERSIONS = (
    'faulty', 'corrected', 'reconstruction', 'reconstruction_faulty', 'reconstruction_corrected',
    'true_map', 'fault_map',
)  # fmt: skip


class NothingToShow(Exception):
    """A run lacks the data of a figure; the report prints the message in place of the figure."""


@dataclass(frozen=True)
class Split:
    """Values of one test split; every field is an array of shape (sample,).

    Args:
        faulty: bool, whether a fault was injected.
        modality: int, index of the faulty modality, -1 for clean samples.
        kind: int, index of the fault kind, -1 for clean samples.
        severity: int, 1 to 5, 0 for clean samples.
        damage: float, RMS change of the sensor stream in units of its sensor noise.
        score: float, anomaly score; a score above the threshold is an alarm.
        predicted_modality: int, index of the predicted faulty modality.
        energy_injected: float, sum of (x̃ - x)² of the faulty modality, standardized units.
        energy_left: float, sum of (x̂ - x)² of the faulty modality, standardized units.
        error_clean: float, reconstruction error of the autoencoder on the clean signal.
        error_uncorrected: float, the same on the faulty signal.
        error_corrected: float, the same on the corrected signal.
        error_oracle: float, the same on the signal corrected with the true fault mask.
    """

    faulty: Array
    modality: Array
    kind: Array
    severity: Array
    damage: Array
    score: Array
    predicted_modality: Array
    energy_injected: Array
    energy_left: Array
    error_clean: Array
    error_uncorrected: Array
    error_corrected: Array
    error_oracle: Array

    @property
    def fault_kinds(self) -> list[int]:
        """Return the sorted indices of the fault kinds that occur in the split."""
        return [int(kind) for kind in np.unique(self.kind[self.faulty]) if kind >= 0]


@dataclass(frozen=True)
class Examples:
    """Example samples of one modality.

    Signals and maps have shape (sample, channel, time) or (sample, channel, height, width);
    `None` if the run has none. A test of stage 1 writes `reconstruction`, a test of stage 2 all
    other versions.

    Args:
        name: The modality.
        clean: Clean signal, physical units.
        faulty: Signal with the injected fault.
        corrected: Corrected signal, observed and inpainted values blended by the fault map.
        reconstruction: Reconstruction of the clean signal.
        reconstruction_faulty: Reconstruction of the faulty signal, without correction.
        reconstruction_corrected: Reconstruction of the corrected signal.
        true_map: True fault mask, 0 or 1.
        fault_map: Predicted fault map, 0 to 1.
        kind: (sample,) index of the fault kind, -1 for clean samples.
        severity: (sample,) 1 to 5, -1 for clean samples.
        channels: Name of each channel.
        units: Unit of each channel.
    """

    name: str
    clean: Array
    faulty: Array | None
    corrected: Array | None
    reconstruction: Array | None
    reconstruction_faulty: Array | None
    reconstruction_corrected: Array | None
    true_map: Array | None
    fault_map: Array | None
    kind: Array
    severity: Array
    channels: tuple[str, ...]
    units: tuple[str, ...]

    @property
    def is_image(self) -> bool:
        """Return whether the samples are images, (sample, channel, height, width)."""
        return self.clean.ndim == 4


@dataclass(frozen=True)
class Results:
    """Arrays of `results.npz` by key, empty if the run has no such file.

    Args:
        arrays: Arrays by key.
    """

    arrays: dict[str, Array]

    def __getitem__(self, key: str) -> Array:
        """Return the array of a key, or raise `NothingToShow` if it is missing."""
        if not self.arrays:
            raise NothingToShow('The run has no results.npz: run lipfault test.')
        if key not in self.arrays:
            raise NothingToShow(
                f'results.npz has no {key!r}. Runs of an older version of lipfault lack it: run '
                'lipfault test again.'
            )
        return self.arrays[key]

    @property
    def modalities(self) -> list[str]:
        """Return the names of the modalities in the order of their indices."""
        return [str(name) for name in self['modalities']]

    @property
    def kinds(self) -> list[str]:
        """Return the names of the fault kinds in the order of their indices."""
        return [str(name) for name in self['kinds']]

    @property
    def threshold(self) -> float:
        """Return the anomaly score above which a sample is an alarm."""
        return float(self['threshold'])

    def split(self, name: str) -> Split:
        """Return the values of one test split.

        Args:
            name: `seen` or `unseen`.

        Returns:
            One array of shape (sample,) per field.

        Raises:
            NothingToShow: If an array is missing, or a score is NaN or infinite.
        """
        arrays = {field.name: self[f'{name}/{field.name}'] for field in fields(Split)}
        if not np.isfinite(arrays['score']).all():
            raise NothingToShow(f'{name}/score in results.npz holds NaN or infinite scores.')
        return Split(**arrays)

    def splits(self) -> dict[str, Split]:
        """Return the test splits of the run by name.

        Returns:
            At least one split.

        Raises:
            NothingToShow: If the run has no split, or an array of a split is missing.
        """
        found = {name: self.split(name) for name in SPLIT_NAMES if f'{name}/score' in self.arrays}
        # Without any split, `split` raises and names the first missing array.
        return found or {'seen': self.split('seen')}

    def faulty_splits(self) -> dict[str, Split]:
        """Return the test splits with at least one faulty sample, by name.

        Returns:
            At least one split.

        Raises:
            NothingToShow: If the run has no split, or no split has a faulty sample.
        """
        found = {name: split for name, split in self.splits().items() if split.faulty.any()}
        if not found:
            raise NothingToShow('No test split has a faulty sample.')
        return found

    def examples(self, modality: str) -> Examples:
        """Return the example samples of one modality.

        Args:
            modality: Name of the modality.

        Returns:
            The examples, missing versions as `None`.

        Raises:
            NothingToShow: If there are none, or an older version of lipfault wrote them.
        """
        clean = self[f'examples/{modality}/clean']
        if not len(clean):
            raise NothingToShow(f'results.npz holds no example of {modality!r}.')
        versions = {key: self.arrays.get(f'examples/{modality}/{key}') for key in _VERSIONS}
        # Older files use the same keys for other signals: `corrected` was a reconstruction.
        if versions['reconstruction'] is None and versions['reconstruction_corrected'] is None:
            raise NothingToShow(
                f'The examples of {modality!r} in results.npz were written by an older version of '
                'lipfault: run lipfault test again.'
            )
        no_fault = np.full(len(clean), -1)
        return Examples(
            name=modality,
            clean=clean,
            kind=self.arrays.get(f'examples/{modality}/kind', no_fault),
            severity=self.arrays.get(f'examples/{modality}/severity', no_fault),
            channels=self._texts(f'channels/{modality}', clean.shape[1]),
            units=self._texts(f'units/{modality}', clean.shape[1]),
            **versions,
        )

    def _texts(self, key: str, count: int) -> tuple[str, ...]:
        """Return one text per channel, empty texts if the run has none."""
        return tuple(map(str, self.arrays.get(key, [''] * count)))
