"""Trained runs, ready to be used."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lipfault.data.recording import Recording
from lipfault.data.stillness import stillness
from lipfault.errors import LipfaultError
from lipfault.modality import Modality
from lipfault.models.blocks.interface.config import BlockConfig
from lipfault.runs.checkpoints import CARD, read_checkpoint
from lipfault.runs.config import read_config
from lipfault.runs.folder import RunFolder, find_checkpoint
from lipfault.runs.trust import require_trusted
from lipfault.tasks.arrays import to_signals
from lipfault.tasks.card import sizes_from
from lipfault.tasks.finetune import FinetuneTask
from lipfault.tasks.finetune_config import FinetuneConfig
from lipfault.tasks.inputs import finite, readings
from lipfault.tasks.prediction import Prediction, faulty_channels, findings
from lipfault.tasks.pretrained import EARLIER


class Window(dict[str, np.ndarray]):
    """The arrays of one window by modality, with the frames before it.

    Attributes:
        previous: (channel, height, width) of the frame before the window's frame, by image.
    """

    previous: dict[str, np.ndarray]


class TrainedModel:
    """A trained stage 2 that takes arrays.

    Standardization, missing values, stillness, device and dtype are handled inside.

    Args:
        task: The trained task, in evaluation mode.
        run: Run folder or checkpoint, for messages.

    Attributes:
        task: The trained task.
        modalities: Description of each modality.
        steps: Length of the window of each series, in samples.
        threshold: A higher score is an alarm.
    """

    def __init__(self, task: FinetuneTask, run: str) -> None:
        """Keep the task."""
        self.task, self.run = task, run
        self.modalities: dict[str, Modality] = dict(task.description.modalities)
        self.steps = dict(task.description.steps)
        self.threshold = float(task.threshold)

    def __repr__(self) -> str:
        """Describe run, block and modalities."""
        names = ', '.join(self.modalities)
        return f'TrainedModel({self.run!r}, block={self.task.block_config.kind!r}, {names})'

    @torch.no_grad()
    def predict(
        self, signals: Mapping[str, Any], previous: Mapping[str, Any] | None = None
    ) -> Prediction:
        """Detect and correct faults.

        Args:
            signals: Arrays by modality, numpy or torch: series (channel, time) or
                (batch, channel, time) in physical units, images (channel, height, width) or
                (batch, channel, height, width) in [0, 1] or uint8. NaN marks missing values; an
                absent modality is treated as missing, with a warning.
            previous: For images the frame before, shaped as the frame. By it a frozen camera is
                found at once; without it a frame counts as moving. A
                `Window` of `read_window` has it already.

        Returns:
            Scores, alarms, predicted modality, fault maps and corrected signals.

        Raises:
            LipfaultError: If a name, shape, dtype or value does not fit, with what would.
        """
        arrays = to_signals(signals, self.modalities, self.steps, self.task.device)
        observation = finite(self.task.autoencoder, arrays.signals, self.modalities)
        before = previous if previous is not None else getattr(signals, 'previous', {})
        frames = self._previous(arrays.signals, before)
        images = {n: self.modalities[n] for n in frames}
        observation.side_info.stillness = stillness(arrays.signals, frames, images)
        observation.side_info.previous = self.task.autoencoder.standardized(frames)
        detection, correction = self.task.block(observation)
        corrected = self.task.autoencoder.physical(correction.signals)

        def out(value: Tensor) -> Any:  # noqa: ANN401
            kept = value[0] if arrays.is_single else value
            return kept if arrays.is_torch else kept.cpu().numpy()

        names, single = list(self.modalities), arrays.is_single
        found = findings(
            detection,
            observation,
            names,
            torch.tensor(self.threshold),
            self.task.clean_scores(),
        )
        rows = zip(found.modality.tolist(), found.alarm.tolist(), strict=True)
        faulty = [names[index] if alarm else None for index, alarm in rows]
        channels = faulty_channels(found, correction, observation, self.modalities)
        return Prediction(
            score=float(found.score[0]) if single else out(found.score),
            alarm=bool(found.alarm[0]) if single else out(found.alarm),
            faulty_modality=faulty[0] if single else faulty,
            modality_scores={
                n: float(x[0]) if single else out(x)
                for n, x in zip(names, detection.logits.unbind(dim=1), strict=True)
            },
            fault_maps={n: out(m) for n, m in correction.maps.items()},
            corrected={n: out(x) for n, x in corrected.items()},
            missing=arrays.missing,
            p_value=float(found.p_value[0]) if single else out(found.p_value),
            faulty_channels=channels[0] if single else channels,
        )

    def _previous(
        self, signals: Mapping[str, Tensor], previous: Mapping[str, Any]
    ) -> dict[str, Tensor]:
        """The frames before the images, of those that are given."""
        series = [n for n in previous if n in self.modalities and self.modalities[n].size is None]
        if series:
            raise LipfaultError(f'previous: {series[0]!r} is a series; give frames of images only')
        if not previous:
            return {}
        images = {n: m for n, m in self.modalities.items() if m.size is not None and n in previous}
        before = to_signals(previous, images or self.modalities, {}, self.task.device)
        counts = {len(x) for x in (*before.signals.values(), *signals.values())}
        if len(counts) > 1:
            raise LipfaultError(
                f'previous: must hold as many frames as there are windows; got {sorted(counts)}'
            )
        return readings({n: before.signals[n] for n in images}, images)

    def read_window(self, path: str | Path, episode: int | str = 0, end_s: float = 1.0) -> Window:
        """Read one window of a recording.

        Args:
            path: The recording, an HDF5 file.
            episode: Number or id of the episode.
            end_s: End of the window in seconds from the start of the episode.

        Returns:
            Arrays for `predict`: series (channel, time) in physical units, images
            (channel, height, width) uint8, float32 with NaN where a sample is missing.

        Raises:
            LipfaultError: If the recording has other modalities, or no such window.
        """
        recording = Recording(path)
        self._require_same(recording)
        position = _episode(recording, episode)
        window = Window()
        window.previous = {}
        for name, modality in self.modalities.items():
            stop = round(end_s * modality.rate_hz)
            start = stop - self.steps.get(name, 1)
            length = recording.episodes[position].lengths[name]
            if start < 0 or stop > length:
                raise LipfaultError(
                    f'{path}: a window that ends at {end_s:g} s needs samples {start} to {stop} of '
                    f'{name!r}; the episode has {length} (it lasts '
                    f'{length / modality.rate_hz:g} s)'
                )
            window[name] = _read(recording, position, modality, start, stop)
            if modality.size is not None and start > 0:
                window.previous[name] = _read(recording, position, modality, start - 1, start)
        recording.close()
        return window

    def _require_same(self, recording: Recording) -> None:
        """Refuse a recording that lacks a modality, or has another description of it."""
        for name, modality in self.modalities.items():
            if name not in recording.modalities:
                raise LipfaultError(
                    f'{recording.path}: lacks the modality {name!r}; it has '
                    f'{", ".join(map(repr, recording.modalities))}'
                )
            found = recording.modalities[name]
            for key in ('kind', 'channels', 'units', 'size', 'rate_hz'):
                if getattr(found, key) != getattr(modality, key):
                    raise LipfaultError(
                        f'{recording.path}: {name}.{key} is {getattr(found, key)}, the model was '
                        f'trained with {getattr(modality, key)}'
                    )


def load(
    run: str | Path, device: str | torch.device = 'cpu', trust_run_code: bool = False
) -> TrainedModel:
    """Load a trained run of stage 2.

    Args:
        run: Run folder, or a checkpoint in one.
        device: Device of the model, such as `cpu` or `cuda`.
        trust_run_code: Whether to import a compute block outside lipfault that the run names;
            importing a class runs its code.

    Returns:
        The model with its weights and threshold, in evaluation mode.

    Raises:
        LipfaultError: If there is no run, it is of stage 1, it was never validated, it is of an
            earlier version, or it names a foreign class without `trust_run_code`.

    Example:
        ```python
        model = load('runs/demo/finetune')
        model.predict(model.read_window('data/ur5.h5', end_s=5.0)).alarm
        ```
    """
    task = trained_task(str(run), trust_run_code)
    if torch.isnan(task.threshold):
        raise LipfaultError(f'{run}: the run has no threshold: it was never validated')
    return TrainedModel(task.to(device), str(run))


def trained_task(run: str, trust_run_code: bool = False) -> FinetuneTask:
    """Load the task of a run of stage 2.

    Args:
        run: Run folder, or a checkpoint in one.
        trust_run_code: Whether to import a compute block outside lipfault that the run names.

    Returns:
        The task with its weights and threshold, in evaluation mode, without gradients.

    Raises:
        LipfaultError: If there is no checkpoint, it is not one of stage 2, the run's configuration
            is not beside it, it is of an earlier version, or it names a foreign class without
            `trust_run_code`.
    """
    file = find_checkpoint(run)
    checkpoint = read_checkpoint(file)
    card = checkpoint[CARD]
    if card.get('stage') != FinetuneTask.stage:
        raise LipfaultError(
            f'{file}: a checkpoint of stage 1 ({card.get("stage")!r}), which reconstructs only; '
            f'give a run of stage 2 (lipfault fit --config finetune --model.pretrained {run})'
        )
    settings = RunFolder.of(file).config
    if not settings.exists():
        raise LipfaultError(f'{file}: the configuration of its run is missing, {settings}')
    modulation = _modulation(settings)
    kind = card['block'].get('kind') if isinstance(card.get('block'), dict) else None
    require_trusted({'block': {'kind': kind}}, str(file), trust_run_code)
    try:
        task = FinetuneTask(
            card.get('description', {}),
            pretrained=str(file),
            block=sizes_from(BlockConfig, card, 'block'),
            config=FinetuneConfig(modulation=modulation),
        )
        task.check_checkpoint(checkpoint)
    except LipfaultError as error:
        hint = '' if EARLIER in str(error) else EARLIER
        raise LipfaultError(f'{file}: {error}{hint}') from error
    task.load_state_dict(checkpoint['state_dict'])
    task.read_calibration(card)
    return task.requires_grad_(False).eval()


def _modulation(settings: Path) -> dict[str, dict[str, Any]]:
    """Rules of modulation in the configuration of a run; none if it does not set them."""
    found: Any = read_config(settings)
    for key in ('model', 'init_args', 'config', 'modulation'):
        found = found.get(key)
        if found is None and key in ('config', 'modulation'):
            return {}
        if not isinstance(found, dict):
            raise LipfaultError(f'{settings}: {key} must hold settings by name, holds {found!r}')
    if not all(isinstance(rule, dict) for rule in found.values()):
        raise LipfaultError(f'{settings}: damaged, the rules of modulation are {found!r}')
    return dict(found)


def _episode(recording: Recording, episode: int | str) -> int:
    """Position of an episode that is given by number or id."""
    ids = [info.episode_id for info in recording.episodes]
    if isinstance(episode, str):
        if episode not in ids:
            raise LipfaultError(
                f'{recording.path}: no episode {episode!r}; there are {ids[0]!r} to {ids[-1]!r}'
            )
        return ids.index(episode)
    if not 0 <= episode < len(ids):
        raise LipfaultError(
            f'{recording.path}: no episode {episode}; there are 0 to {len(ids) - 1}'
        )
    return episode


def _read(
    recording: Recording, episode: int, modality: Modality, start: int, stop: int
) -> np.ndarray:
    """Samples with the channels first; float32 with NaN where one is missing."""
    samples = recording.read(episode, modality.name, start, stop)
    present = recording.present(episode, modality.name, start, stop)
    if present is not None and not present.all():
        scale = 255 if modality.size is not None else 1
        samples = np.where(
            present.reshape(-1, *[1] * (samples.ndim - 1)), samples / np.float32(scale), np.nan
        ).astype(np.float32)
    # (time, channel) to (channel, time); (1, height, width, channel) to (channel, height, width)
    return samples.T if modality.size is None else np.moveaxis(samples[0], -1, 0)
