"""The compute block that corrects by the size of a fault instead of a mask."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial

import torch
from torch import Tensor, nn

from lipfault.modality import Modality, Signals
from lipfault.models.autoencoder.autoencoder import Autoencoder
from lipfault.models.blocks.fault_map.features import RANKED, map_features
from lipfault.models.blocks.fault_map.locating import CERTAIN, LocatingBlock
from lipfault.models.blocks.fault_map.locator import Locator
from lipfault.models.blocks.fault_map.map_refiner import MapRefiner
from lipfault.models.blocks.fault_map.modality_parts import ModalityParts, PartSizes, Residuals
from lipfault.models.blocks.interface.config import BlockConfig
from lipfault.models.blocks.interface.types import (
    Correction,
    Detection,
    Masks,
    Observation,
    StepData,
)
from lipfault.models.blocks.posterior import scene
from lipfault.models.blocks.posterior.change_features import (
    CHANGES,
    image_features,
    series_features,
)
from lipfault.models.blocks.posterior.fine_locator import FineLocator
from lipfault.models.blocks.posterior.image_corrector import ImageCorrector
from lipfault.models.blocks.posterior.series_corrector import SeriesCorrector, SeriesEstimate
from lipfault.models.blocks.posterior.terms import log_energy_left, log_size_error
from lipfault.models.layers.patch_net import patch_of
from lipfault.models.relations.relations import Relations

_EARLIER, _SIZES = 0.3, 0.1
"""Weights, beside the last correction, of each earlier round and of the sizes. Chosen: the earlier
rounds only have to lead to the last one, and the sizes matter by what they correct."""


class PosteriorBlock(LocatingBlock):
    """Locates faults, estimates their size, and corrects by the posterior mean.

    A faulty sensor still carries most of the information: the size of the fault decides how much of
    it is used. A series is corrected by the posterior mean of its clean window under one fault
    variance for each channel and chunk of time, which a network estimates in rounds from the
    evidence; an image by a network that blends observed pixels, the median scene and the prediction
    from the other modalities. Size and change of the correction are evidence for the classifiers.

    The networks are trained by the logarithm of the energy left, so that small faults count as much
    as large ones.

    Args:
        autoencoder: Stage 1; frozen, not a submodule.
        relations: Stage 1; frozen, a submodule.
        modalities: Description of each modality.
        config: Sizes.

    Reference:
        docs/theory.md, section 9.
    """

    evidence = CHANGES + RANKED + 1  # and the refined fault map

    def __init__(
        self,
        autoencoder: Autoencoder,
        relations: Relations,
        modalities: Mapping[str, Modality],
        config: BlockConfig | None = None,
    ) -> None:
        """Build the parts for the latent shapes of the autoencoder."""
        super().__init__(autoencoder, relations, modalities, config)
        for name, modality in modalities.items():
            noise = autoencoder.noise(name, modality)
            self.register_buffer(f'noise_{name}', noise, persistent=True)

    def build_parts(
        self, sizes: Mapping[str, PartSizes], locators: Mapping[str, Locator], config: BlockConfig
    ) -> Mapping[str, ModalityParts]:
        """Build the correctors beside the parts of the detection.

        Args:
            sizes: Sizes of the parts of each modality.
            locators: Their locators.
            config: Sizes of the block.

        Returns:
            The parts of each modality.
        """
        self.image_correctors, self.series_correctors = nn.ModuleDict(), nn.ModuleDict()
        self.map_refiners = nn.ModuleDict()
        parts = {}
        for name, size in sizes.items():
            modality = size.modality
            if modality.size is not None:
                corrector = ImageCorrector(
                    size.channels, modality.size, size.is_predicted, patch=patch_of(modality)
                )
                self.image_correctors[name] = corrector
            else:
                noise = self.autoencoder.noise(name, modality)
                model = self.relations.window_model(name)
                self.series_correctors[name] = SeriesCorrector(model, noise, config.rounds)
            self.map_refiners[name] = MapRefiner(size.kind, size.channels)
            locator: nn.Module = locators[name]
            if modality.size is not None:
                locator = FineLocator(locators[name], size.views)
            parts[name] = ModalityParts(size, locator)
        return parts

    def own_residual_count(self, name: str) -> int:
        """Count the residuals of an image from the scene and the frame before.

        Args:
            name: Name of the modality.

        Returns:
            Number of the `own_residuals`.
        """
        return 0 if self.modalities[name].size is None else scene.COUNT

    def own_residuals(self, name: str, signal: Tensor, previous: Tensor | None) -> list[Tensor]:
        """Compute the residuals of an image from the scene and the frame before.

        Args:
            name: Name of the modality.
            signal: Observed signal, standardized.
            previous: The frame before, of an image whose frame before is known.

        Returns:
            Tensors shaped as the image; none for a series.
        """
        if name not in self.image_correctors:
            return []
        median = self.image_correctors[name].get_buffer('median')
        return scene.scene_residuals(signal, median, previous, self._noise(name))

    def fit_start(self, standardized: Signals) -> None:
        """Fit whitening, scales and the median scene in closed form on clean windows.

        Args:
            standardized: Clean signals, standardized, of windows that stage 1 was not trained on.
        """
        for name, corrector in self.image_correctors.items():
            if isinstance(corrector, ImageCorrector):
                zero = torch.zeros_like(standardized[name][:1])
                ends = [self.autoencoder.physical({name: x})[name] for x in (zero, zero + 1)]
                level = (ends[0] / (ends[1] - ends[0]))[0]
                corrector.fit(standardized[name], level, self._noise(name))
        super().fit_start(standardized)  # which needs the median scene

    def correct_first(
        self,
        observation: Observation,
        residuals: Mapping[str, Residuals],
        map_logits: Signals,
    ) -> tuple[Correction | None, Signals]:
        """Correct, and summarize the correction for the classifiers.

        Args:
            observation: The batch, standardized.
            residuals: Residuals of each modality.
            map_logits: Logits of the fault maps, from which the sizes of series start.

        Returns:
            The correction, and features of it, (batch, 21) by modality.
        """
        correction = self._correct(observation, residuals, map_logits)
        refined, evidence = {}, {}
        for name, logits in map_logits.items():
            refined[name] = self._refined(name, observation, correction, logits)
            changes = self._features(name, observation, correction)
            marked = map_features(refined[name], residuals[name].latent, RANKED)
            evidence[name] = torch.cat([changes, marked], dim=1)
        return replace(correction, map_logits=refined), evidence

    def correct(self, observation: Observation, masks: Masks) -> Correction:
        """Infer the clean signals inside of given fault maps.

        Args:
            observation: The batch, standardized.
            masks: Fault maps; outside of them the observed signal is kept.

        Returns:
            Corrected signals.
        """
        logits = {n: m.float().logit(1e-7) for n, m in masks.maps.items()}
        residuals = self.residuals(observation.signals, observation.side_info.previous)
        found = self._correct(observation, residuals, logits)
        signals = {
            n: x + masks.maps[n] * (found.signals[n] - x) for n, x in observation.signals.items()
        }
        return replace(found, signals=signals)

    def forward(
        self, observation: Observation, oracle_maps: Signals | None = None
    ) -> tuple[Detection, Correction]:
        """Detect, locate and correct the faults in a batch.

        Args:
            observation: The batch, standardized.
            oracle_maps: True fault maps, used in place of the located ones.

        Returns:
            The detection and the correction.
        """
        detection = self.detect(observation)
        if oracle_maps or detection.correction is None:  # `detect` always corrects
            return detection, self.correct(observation, Masks(oracle_maps or detection.maps))
        return detection, detection.correction

    def impute(self, signals: Signals) -> Signals:
        """Return corrected signals, without classifiers and detector.

        Args:
            signals: Observed signals, standardized, finite.

        Returns:
            Corrected signals, standardized, of the same shapes.
        """
        observation, residuals = Observation(signals), self.residuals(signals)
        located = self._locate(observation, residuals)
        logits = {n: each for n, (each, _) in located.items()}
        return self._correct(observation, residuals, logits).signals

    def own_terms(self, step_data: StepData) -> dict[str, Tensor]:
        """Return the terms of classification, of the energy left and of the fault sizes.

        Args:
            step_data: Inputs, targets and outputs of the training step.

        Returns:
            The scalars `class`, `left` and `size`.
        """
        terms, correction = super().own_terms(step_data), step_data.correction
        left, size = [], []
        for index, (name, clean) in enumerate(step_data.clean.items()):
            rows = _trained_rows(step_data.observation, index)
            noise, truth = self._noise(name), clean[rows]
            observed = step_data.observation.signals[name][rows]
            signals = [*correction.rounds.get(name, ()), correction.signals[name]]
            each = [log_energy_left(x[rows].float(), truth, observed, noise) for x in signals]
            left.append(each[-1] + _EARLIER * sum(each[:-1]))
            for log_size in correction.log_sizes.get(name, ()):
                size.append(log_size_error(log_size[rows], observed - truth, noise))
        terms['left'] = torch.stack(left).mean()
        if size:
            terms['size'] = _SIZES * torch.stack(size).sum()
        return terms

    def _correct(
        self, observation: Observation, residuals: Mapping[str, Residuals], logits: Signals
    ) -> Correction:
        """Correct each modality; in training clean samples take no part in the gradient."""
        signals, rounds, log_sizes = dict(observation.signals), {}, {}
        for index, name in enumerate(observation.signals):
            rows = _trained_rows(observation, index) if self.training else None
            inputs = self._inputs(name, observation, residuals[name].expected, logits)
            if name in self.series_correctors:
                found = _in_parts(partial(self._series, name), inputs, rows)
                half = len(found) // 2
                *rounds[name], signals[name] = found[:half]
                log_sizes[name] = found[half:]
            else:
                (signals[name],) = _in_parts(partial(self._image, name), inputs, rows)
        if not self.training:  # a clamp has no gradient outside the range
            for name, signal in signals.items():
                low, high = self.autoencoder.limits(name)
                signals[name] = torch.minimum(torch.maximum(signal, low), high)
        return Correction({}, {}, signals, dict(logits), rounds, log_sizes)

    def _inputs(
        self, name: str, observation: Observation, expected: Tensor | None, logits: Signals
    ) -> list[Tensor | None]:
        """Inputs of the corrector of one modality, each with the batch first."""
        signal, missing = observation.signals[name], observation.side_info.missing.get(name)
        if name in self.series_correctors:
            return [signal, logits[name].detach() if self.training else logits[name], missing]
        previous = observation.side_info.previous.get(name)
        with self.frozen():
            predicted = (
                None if expected is None else self.autoencoder.decode({name: expected})[name]
            )
        return [signal, missing, predicted, previous, observation.stillness(name)]

    def _series(self, name: str, inputs: list[Tensor | None]) -> list[Tensor]:
        """Corrected series of all rounds, then the logarithmic sizes of all rounds."""
        found: list[SeriesEstimate] = self.series_correctors[name](*inputs)
        return [*(x.signal for x in found), *(x.log_size for x in found)]

    def _image(self, name: str, inputs: list[Tensor | None]) -> list[Tensor]:
        """The corrected image."""
        signal, missing, predicted, previous, stillness = inputs
        return [self.image_correctors[name](signal, predicted, previous, stillness, missing)]

    def _refined(
        self, name: str, observation: Observation, correction: Correction, logits: Tensor
    ) -> Tensor:
        """Logits of the fault map, updated by the correction; certain where no value arrived."""
        change, sizes = observation.signals[name] - correction.signals[name], correction.log_sizes
        size = torch.zeros_like(logits)
        if name in sizes:
            # Divided to the range of the other inputs: sizes reach e^24 noise variances.
            size = self.relations.window_model(name).spread(sizes[name][-1] / 8)
        if self.training:
            change, size = change.detach(), size.detach()
        refined: Tensor = self.map_refiners[name](logits, size, change, observation.is_clean)
        missing = observation.side_info.missing.get(name)
        return refined if missing is None else refined.float().masked_fill(missing, CERTAIN)

    def _features(self, name: str, observation: Observation, correction: Correction) -> Tensor:
        """Summaries of the change in units of the sensor noise, and of the sizes, (batch, 8)."""
        noise = self._noise(name).view(-1, *[1] * (observation.signals[name].dim() - 2))
        change = (observation.signals[name] - correction.signals[name]).float() / noise
        square = change.detach().square() if self.training else change.square()
        if name in correction.log_sizes:
            return series_features(square, correction.log_sizes[name][-1])
        return image_features(square)

    def _noise(self, name: str) -> Tensor:
        return self.get_buffer(f'noise_{name}')


def _trained_rows(observation: Observation, index: int) -> Tensor:
    """Indices of the samples on which the correction of one modality is trained.

    Those with a fault of the modality, and a quarter as many others, so that the correction leaves
    a sound signal as it is, beside a faulty one, too; all samples if the faults are not given.
    """
    if observation.faulty is None:
        signal = next(iter(observation.signals.values()))
        return torch.arange(len(signal), device=signal.device)
    faulty = observation.faulty[:, index]
    mine, others = faulty.nonzero()[:, 0], (~faulty).nonzero()[:, 0]
    count = max(1, len(mine) // 4)
    # Evenly spread: the batch is in random order.
    step = max(1, len(others) // count)
    return torch.cat([mine, others[::step][:count]]).sort().values


def _in_parts(
    correct: Callable[[list[Tensor | None]], list[Tensor]],
    inputs: list[Tensor | None],
    rows: Tensor | None,
) -> list[Tensor]:
    """Apply a corrector; given rows, with gradients on these samples only."""
    if rows is None:
        return correct(inputs)
    count = max(len(x) for x in inputs if x is not None)
    rest = torch.ones(count, dtype=torch.bool, device=rows.device).index_fill(0, rows, False)
    outputs = correct([None if x is None else x[rows] for x in inputs])
    if not rest.any():
        return [x.new_empty(count, *x.shape[1:]).index_copy(0, rows, x) for x in outputs]
    others = rest.nonzero()[:, 0]
    with torch.no_grad():
        clean = correct([None if x is None else x[others] for x in inputs])
    return [
        x.new_empty(count, *x.shape[1:]).index_copy(0, others, y).index_copy(0, rows, x)
        for x, y in zip(outputs, clean, strict=True)
    ]
