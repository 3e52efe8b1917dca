"""The compute block that corrects only what it has located."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from lipfault.losses import attribution
from lipfault.modality import Modality
from lipfault.models.autoencoder.autoencoder import Autoencoder, Signals
from lipfault.models.blocks.base import (
    BlockConfig,
    ComputeBlock,
    Correction,
    Detection,
    SideInfo,
    StepData,
)
from lipfault.models.blocks.detector import Detector
from lipfault.models.blocks.fault_map.classifier import Classifier
from lipfault.models.blocks.fault_map.corrector import Corrector
from lipfault.models.blocks.fault_map.features import (
    RANKED,
    Evidence,
    map_evidence,
    map_size,
    mean_over_places,
    size,
)
from lipfault.models.blocks.fault_map.inpainter import Inpainter
from lipfault.models.blocks.fault_map.latent_residual import LatentResidual
from lipfault.models.blocks.fault_map.locator import Locator
from lipfault.models.blocks.fault_map.map_refiner import MapRefiner
from lipfault.models.blocks.fault_map.pixel_scale import PixelScale
from lipfault.models.layers.chunks import CHUNK, in_chunks
from lipfault.models.layers.patch_net import require_patches
from lipfault.models.layers.running_scale import RunningScale, symlog
from lipfault.models.relations.relations import Relations

CERTAIN = 16.0
"""Logit of the fault map where no value arrived."""

SCALED = 1500
"""Clean windows from which the usual size of the residuals of an image is taken."""


class FaultMapBlock(ComputeBlock):
    """Corrects only what it has located.

    1. The relations of stage 1 say how each channel contradicts the others of its series, and how
       each modality contradicts the other modalities.
    2. A locator per modality sees these residuals, the observed signal, the residual of the
       reconstruction and, of an image, how unusual the residuals are at each pixel, and whether it
       repeats the frame before. Its output is a soft fault map over channel and time, or over
       place.
    3. A classifier per modality says from what its locator saw, and from how unusually large the
       residuals are, whether this modality is faulty. The detector embeds what the classifiers were
       shown and said, and corrects their logits. Its contrastive gradient does not reach them: it
       is far larger than theirs, and would drown it.
    4. The corrector infers what the fault map hides; outside training within the sensor's range, so
       that no fault can throw the cleaned signal out of it.
    5. A map refiner per modality compares it with the observed signal and settles the fault map;
       the cleaned signal is the observed one outside the map, the inferred one inside.

    Args:
        autoencoder: Stage 1; frozen, and not a part of this module.
        relations: Stage 1; frozen, a part of this module.
        modalities: What is known of each modality.
        config: Sizes.

    Raises:
        LipfaultError: If a window or an image is not a whole number of patches of the locators.
    """

    locates = True

    def __init__(
        self,
        autoencoder: Autoencoder,
        relations: Relations,
        modalities: Mapping[str, Modality],
        config: BlockConfig | None = None,
    ) -> None:
        """Build the parts for the latent shapes of the autoencoder."""
        super().__init__(modalities)
        for name, modality in modalities.items():
            require_patches(modality, autoencoder.steps.get(name))
        config = config or BlockConfig()
        self.rounds = config.rounds
        self.relations = relations.requires_grad_(False)
        shapes = {n: autoencoder.latent_shape(n) for n in modalities}
        channels = {n: len(m.channels) for n, m in modalities.items()}
        sizes = {n: map_size(m.kind, channels[n], shapes[n]) for n, m in modalities.items()}
        widths = config.local_widths or {'series': 192, 'image': 48}
        residuals = {n: self._residual_count(n) for n in modalities}
        self.contradictions = nn.ModuleDict({n: LatentResidual(shapes[n]) for n in self._related})
        self.images = {n: m for n, m in modalities.items() if m.size}
        self.usual = nn.ModuleDict(
            {
                n: PixelScale(residuals[n], channels[n], m.size)
                for n, m in self.images.items()
                if m.size
            }
        )
        inputs = {n: (1 + residuals[n]) * channels[n] for n in modalities}
        self.views = nn.ModuleDict({n: RunningScale(inputs[n]) for n in modalities})
        self.locators = nn.ModuleDict(
            {
                n: Locator(k, channels[n], inputs[n], widths[k], told=k == 'image')
                for n, k in self.kinds.items()
            }
        )
        self.inpainters = nn.ModuleDict(
            {n: Inpainter(k, channels[n], widths[k]) for n, k in self.kinds.items()}
        )
        self.map_refiners = nn.ModuleDict(
            {n: MapRefiner(k, channels[n]) for n, k in self.kinds.items()}
        )
        self.corrector = Corrector(shapes, sizes, config.corrector_width)
        self.evidence = nn.ModuleDict(
            {n: Evidence(k, channels[n], shapes[n], residuals[n]) for n, k in self.kinds.items()}
        )
        shown = {
            n: 2 * widths[k] + RANKED + 1 + self._evidence(n).numbers for n, k in self.kinds.items()
        }
        for name in (*self._related, *self._images):  # size of the contradiction; stillness
            shown[name] += 1
        self.classifiers = nn.ModuleDict({n: Classifier(shown[n]) for n in modalities})
        features = sum(shown.values()) + len(modalities)
        self.detector = Detector(features, len(modalities), config.detector_width, config.embedding)

    @property
    def _related(self) -> tuple[str, ...]:
        """Modalities that others predict."""
        return tuple(self.relations.predictors)

    @property
    def _images(self) -> tuple[str, ...]:
        return tuple(self.images)

    def _contradictions(self) -> dict[str, LatentResidual]:
        return dict(self.contradictions.items())  # type: ignore[arg-type]

    def _residual_count(self, name: str) -> int:
        """How many residuals `residuals` gives for a modality."""
        return 1 + (name in self._related) + self.relations.resolutions(name)

    def fit_start(self, autoencoder: Autoencoder, standardized: Signals) -> None:
        """Take from clean windows what contradiction and what residual is normal."""
        latents, predicted = in_chunks(standardized, autoencoder.encode, self.relations.predicted)
        for name, contradiction in self._contradictions().items():
            contradiction.fit(latents[name], predicted[name], autoencoder.importance(name))
        count = len(next(iter(standardized.values())))
        some = torch.linspace(0, count - 1, min(SCALED, count)).long()
        for name, modality in self.images.items():
            usual = self._usual(name)
            usual.reset()
            windows = (
                self._compared(autoencoder, {n: x[rows] for n, x in standardized.items()})[1][name]
                for rows in torch.split(some, CHUNK)
            )
            usual.fit(windows, autoencoder.noise(name, modality))

    def _usual(self, name: str) -> PixelScale:
        usual: PixelScale = self.usual[name]  # type: ignore[assignment]
        return usual

    def _evidence(self, name: str) -> Evidence:
        evidence: Evidence = self.evidence[name]  # type: ignore[assignment]
        return evidence

    def clean(self, autoencoder: Autoencoder, observed: Signals) -> Signals:
        """Standardized cleaned signals of standardized observed ones, without the detector."""
        _, residuals, _ = self._compared(autoencoder, observed)
        map_logits, _ = self._locate(observed, residuals, None, SideInfo())
        return self.settle(autoencoder, observed, map_logits).cleaned

    def detect(
        self,
        autoencoder: Autoencoder,
        observed: Signals,
        clean: Tensor | None = None,
        known: SideInfo | None = None,
    ) -> Detection:
        """Compare with the relations, locate, and embed."""
        latents, residuals, whitened = self._compared(autoencoder, observed)
        known = known or SideInfo()
        map_logits, seen = self._locate(observed, residuals, clean, known)
        for name, places in known.missing.items():
            map_logits[name] = map_logits[name].float().masked_fill(places, CERTAIN)
        shown = {}
        for name, latent in latents.items():
            parts = [seen[name], map_evidence(map_logits[name], latent, RANKED)]
            parts.append(self._evidence(name).scores(residuals[name], latent, clean))
            parts += [size(whitened[name])] if name in whitened else []
            parts += [_stillness(known, name, observed[name])] if name in self.images else []
            shown[name] = torch.cat([p.float() for p in parts], dim=1)
        modality_logits = torch.cat([self.classifiers[n](x) for n, x in shown.items()], dim=1)
        features = self._given(torch.cat([*shown.values(), modality_logits], dim=1))
        scaled = self.detector.scaled(features, clean)
        embedding = self.detector.embed(scaled)
        logits = self._given(modality_logits) + self.detector(embedding)
        return Detection(logits, embedding, scaled, map_logits, latents, modality_logits)

    def own_terms(self, autoencoder: Autoencoder, step_data: StepData) -> dict[str, Tensor]:
        """Trains the classifiers, and with them the locators."""
        modality_logits = step_data.found.modality_logits
        if modality_logits is None:
            raise ValueError('the step_data is not one of this block')
        return {'class': attribution(modality_logits, step_data.modality, step_data.visible)}

    def correct(
        self,
        autoencoder: Autoencoder,
        observed: Signals,
        hide: Signals,
        located: Signals | None = None,
        blind: Tensor | None = None,
    ) -> Correction:
        """Infer what is hidden, and put it where it is wanted.

        Gradients reach the corrector, and the maps of `located`, not those of `hide`.
        """
        with self.frozen():
            hidden = {n: m.detach() for n, m in hide.items()}
            kept = {n: x * (1 - hidden[n]) for n, x in observed.items()}
            latents = autoencoder.encode(kept)
            summaries = {n: mean_over_places(hidden[n], z) for n, z in latents.items()}
            guesses = self._guesses(kept, latents, hidden)
        corrected = self.corrector(latents, guesses, summaries)
        decoded = autoencoder.decode(corrected)
        inferred, cleaned, logits = {}, {}, {}
        for name, x in observed.items():
            seen = x if blind is None else _where(blind, kept[name], x)
            inpainter = self.inpainters[name]
            guess = inpainter(kept[name], seen, hidden[name], decoded[name].to(x.dtype))
            if not self.training:  # where it would stop gradients
                low, high = autoencoder.limits(name)
                guess = torch.minimum(torch.maximum(guess, low), high)
            inferred[name], replace = guess, hidden[name]
            if located:
                difference = x - guess.detach()
                map_refiner = self.map_refiners[name]
                logits[name] = map_refiner(located[name], hidden[name], difference, blind)
                replace = logits[name].float().sigmoid()
            cleaned[name] = x + replace * (guess.float() - x)
        return Correction(corrected, inferred, cleaned, logits)

    def _compared(
        self, autoencoder: Autoencoder, observed: Signals
    ) -> tuple[Signals, dict[str, list[Tensor]], Signals]:
        """Latent of the observed signals, and what `residuals` says of it."""
        with self.frozen():
            latents = autoencoder.encode(observed)
            return latents, *self.residuals(autoencoder, observed, latents)

    def residuals(
        self, autoencoder: Autoencoder, observed: Signals, latents: Signals
    ) -> tuple[dict[str, list[Tensor]], Signals]:
        """What does not fit.

        Args:
            autoencoder: Stage 1.
            observed: Standardized signals.
            latents: Latent of `observed`.

        Returns:
            For each modality tensors shaped as its signal: observed minus reconstructed; what the
            others do not predict; for a series the whitened residuals of each channel given the
            others; those of an image in units of what is usual at their pixel. And for each
            modality the whitened contradiction with the others, (batch, size).
        """
        reconstructed = autoencoder.decode(latents)
        predicted = self.relations.predicted(observed)
        found, whitened = {}, {}
        for name, signal in observed.items():
            found[name] = [signal - reconstructed[name]]
            if name in predicted:
                contradiction = self._contradictions()[name]
                whitened[name] = contradiction(latents[name], predicted[name])
                difference = latents[name] - contradiction.shrunk(predicted[name])
                found[name].append(autoencoder.synthesized(name, difference))
            found[name] += self.relations.contradictions(name, signal)
            if name in self.images:
                found[name] = self._usual(name)(found[name])
        return found, whitened

    def _guesses(self, kept: Signals, latents: Signals, hidden: Signals) -> Signals:
        """Latent of what is kept, and as far as a position is hidden the predicted one."""
        guesses, predicted = dict(latents), self.relations.predicted(kept)
        for name, contradiction in self._contradictions().items():
            latent, share = latents[name], hidden[name].mean(dim=1, keepdim=True)
            share = mean_over_places(share, latent).view(len(latent), 1, *latent.shape[2:])
            guess = contradiction.shrunk(predicted[name])
            guesses[name] = latent + share * (guess.to(latent.dtype) - latent)
        return guesses

    def _locate(
        self,
        observed: Signals,
        residuals: dict[str, list[Tensor]],
        clean: Tensor | None,
        known: SideInfo,
    ) -> tuple[Signals, Signals]:
        """Logits of the fault maps, and what the locators saw, (batch, number)."""
        logits, seen = {}, {}
        for name, signal in observed.items():
            views = self._views(name, signal, residuals[name], clean)
            told = _stillness(known, name, signal) if name in self.images else None
            logits[name], seen[name] = self.locators[name](views, told)
        return logits, seen

    def _given(self, told: Tensor) -> Tensor:
        """What the detector is told, which in training cannot answer."""
        return told.detach() if self.training else told

    def _views(
        self, name: str, signal: Tensor, residuals: list[Tensor], clean: Tensor | None
    ) -> Tensor:
        """Signal and residuals, of unit scale on clean samples.

        Compressed, so that a fault of any size is in reach of the networks.
        """
        views = torch.cat([signal, *residuals], dim=1)
        scale: RunningScale = self.views[name]  # type: ignore[assignment]
        if clean is not None:
            scale.update(views, clean)
        return symlog(scale(views))


def _where(rows: Tensor, chosen: Tensor, other: Tensor) -> Tensor:
    """`chosen` in the samples of (batch,) bool `rows`, `other` elsewhere."""
    return torch.where(rows.view(-1, *[1] * (other.dim() - 1)), chosen, other)


def _stillness(known: SideInfo, name: str, signal: Tensor) -> Tensor:
    """(batch, 1) stillness of an image, 0 if unknown."""
    if name not in known.stillness:
        return torch.zeros(signal.shape[0], 1, dtype=signal.dtype, device=signal.device)
    return known.stillness[name][:, None].to(signal.dtype)
