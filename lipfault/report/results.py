"""Samples and scores of a test, as `results.npz` holds them."""

import zipfile
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from lipfault.errors import LipfaultError

Array = NDArray[Any]

SPLIT_NAMES = {'seen': 'kinds seen in training', 'unseen': 'kinds never seen in training'}
"""The two test splits and how the figures call them."""


class NothingToShow(Exception):
    """A run lacks what a figure needs; the report prints the message in the figure's place."""


@dataclass(frozen=True)
class Split:
    """One test split; every field has one entry per sample, shape (sample,).

    Args:
        faulty: bool, whether a fault was injected.
        modality: int, index of the faulty modality, -1 where there is none.
        kind: int, index of the fault kind, -1 where there is none.
        severity: int, 1 to 5, 0 where there is none.
        damage: float, RMS change of the sensor stream in units of its noise.
        score: float, anomaly score; above the threshold is an alarm.
        predicted_modality: int, index of the modality blamed.
        energy_injected: float, squared change of the faulty signal by the fault.
        energy_left: float, squared distance of the cleaned signal from the true one.
        error_clean: float, reconstruction error without the fault.
        error_uncorrected: float, the same for the autoencoder fed with the fault.
        error_corrected: float, the same after correction.
        error_oracle: float, the same for the model told the true fault mask.
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


@dataclass(frozen=True)
class Examples:
    """Samples of one modality to look at.

    Signals and maps are (sample, channel, time) or (sample, channel, height, width), `None` where
    the run has none.

    Args:
        name: The modality.
        clean: True signal.
        corrected: Corrected reconstruction; in stage 1 the reconstruction.
        faulty: Signal with the injected fault.
        uncorrected: Reconstruction of the faulty signal without correction.
        cleaned: Measured signal, repaired where a fault was found.
        true_map: Where the fault was injected, 0 or 1.
        fault_map: Where the model found it, 0 to 1.
        kind: (sample,) index of the fault kind.
        severity: (sample,) 1 to 5.
        channels: Name of each channel.
        units: Unit of each channel.
    """

    name: str
    clean: Array
    corrected: Array
    faulty: Array | None
    uncorrected: Array | None
    cleaned: Array | None
    true_map: Array | None
    fault_map: Array | None
    kind: Array
    severity: Array
    channels: tuple[str, ...]
    units: tuple[str, ...]

    @property
    def is_image(self) -> bool:
        """Whether the samples are images, not series."""
        return self.clean.ndim == 4


@dataclass(frozen=True)
class Results:
    """The arrays of `results.npz` by key; no file, no arrays.

    Args:
        arrays: Arrays by key.
    """

    arrays: dict[str, Array]

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read all arrays into memory; pickled objects are refused.

        Args:
            path: The `.npz` file.

        Raises:
            LipfaultError: If the file is damaged.
        """
        if not path.exists():
            return cls({})
        try:
            with path.open('rb') as file, np.load(file, allow_pickle=False) as content:
                return cls({key: content[key] for key in content.files})
        except (OSError, ValueError, EOFError, zipfile.BadZipFile, AttributeError) as error:
            raise LipfaultError(f'{path}: damaged results: {error}') from error

    def __getitem__(self, key: str) -> Array:
        """The array of a key; `NothingToShow` where the run has none."""
        if not self.arrays:
            raise NothingToShow('The run has no results.npz; lipfault test writes it.')
        if key not in self.arrays:
            raise NothingToShow(f'results.npz has no {key!r}.')
        return self.arrays[key]

    @property
    def modalities(self) -> list[str]:
        """Names of the modalities, in the order that indices refer to."""
        return [str(name) for name in self['modalities']]

    @property
    def kinds(self) -> list[str]:
        """Names of the fault kinds, in the order that indices refer to."""
        return [str(name) for name in self['kinds']]

    @property
    def threshold(self) -> float:
        """Anomaly score above which a sample counts as faulty."""
        return float(self['threshold'])

    def split(self, name: str) -> Split:
        """The samples of one test split.

        Args:
            name: `seen` or `unseen`.

        Raises:
            NothingToShow: If an array of it is missing, or a score is no number.
        """
        arrays = {field.name: self[f'{name}/{field.name}'] for field in fields(Split)}
        if not np.isfinite(arrays['score']).all():
            raise NothingToShow(f'{name}/score in results.npz holds NaN or infinite scores.')
        return Split(**arrays)

    def splits(self) -> dict[str, Split]:
        """The splits that the run has by name; `NothingToShow` where it has none."""
        found = {name: self.split(name) for name in SPLIT_NAMES if f'{name}/score' in self.arrays}
        return found or {'seen': self.split('seen')}

    def examples(self, modality: str) -> Examples:
        """The samples of one modality to look at.

        Args:
            modality: Its name.

        Raises:
            NothingToShow: If there are none.
        """
        clean = self[f'examples/{modality}/clean']
        if not len(clean):
            raise NothingToShow(f'results.npz holds no example of {modality!r}.')
        optional = {
            key: self.arrays.get(f'examples/{modality}/{key}')
            for key in ('faulty', 'uncorrected', 'cleaned', 'true_map', 'fault_map')
        }
        nothing = np.full(len(clean), -1)
        return Examples(
            name=modality,
            clean=clean,
            corrected=self[f'examples/{modality}/corrected'],
            kind=self.arrays.get(f'examples/{modality}/kind', nothing),
            severity=self.arrays.get(f'examples/{modality}/severity', nothing),
            channels=self._texts(f'channels/{modality}', clean.shape[1]),
            units=self._texts(f'units/{modality}', clean.shape[1]),
            **optional,
        )

    def _texts(self, key: str, count: int) -> tuple[str, ...]:
        """One text per channel, empty where the run has none."""
        return tuple(map(str, self.arrays.get(key, [''] * count)))
