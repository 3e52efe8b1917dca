"""The compute block of stage 2: locate, detect, correct."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from lipfault.modality import Modality
from lipfault.models.autoencoder import Autoencoder, Signals
from lipfault.models.consistency import ChannelConsistency
from lipfault.models.corrector import Corrector
from lipfault.models.detector import Detector
from lipfault.models.locator import Locator
from lipfault.models.restorer import Restorer


@dataclass
class BlockConfig:
    """Sizes of the compute block.

    Args:
        corrector_width: Hidden units of the dense corrector.
        detector_width: Hidden units of the dense detector.
        embedding: Size of the detector's embedding.
        local_widths: Hidden channels of a locator and of a restorer, by kind of modality.
        groups: Into how many groups the channels of a series are split; each group is inferred
            from the others and from the other modalities, and the difference shown to the locator.
    """

    corrector_width: int = 768
    detector_width: int = 256
    embedding: int = 64
    local_widths: Mapping[str, int] | None = None
    groups: int = 4


@dataclass
class Detection:
    """What the compute block finds in a batch of M modalities.

    Args:
        logits: (batch, M), positive where a modality is faulty.
        embedding: (batch, embedding), the detector's.
        scaled: (batch, feature), the detector's input, unit root mean square on clean samples.
        map_logits: Logits of the fault map of each modality: series (batch, channel, time), image
            (batch, 1, height, width).
        latents: Latent of the observed signals.
    """

    logits: Tensor
    embedding: Tensor
    scaled: Tensor
    map_logits: Signals
    latents: Signals

    @property
    def score(self) -> Tensor:
        """(batch,) anomaly score: the logit that at least one modality is faulty, float32."""
        return torch.logsumexp(self.logits.float(), dim=1)

    @property
    def maps(self) -> Signals:
        """Fault maps in [0, 1]."""
        return {n: m.float().sigmoid() for n, m in self.map_logits.items()}


@dataclass
class Correction:
    """What the compute block makes of a batch.

    Args:
        latents: Latent that the corrector gives.
        inferred: Standardized signals decoded from it.
        cleaned: Standardized signals: observed where no fault is found, inferred where one is.
    """

    latents: Signals
    inferred: Signals
    cleaned: Signals


class FaultMapBlock(nn.Module):
    """Corrects only what it has located.

    1. The corrector is asked what each part of the observed signals should look like, given the
       rest: channel groups of a series, an image as a whole.
    2. A locator per modality compares: observed signal, residual of the stage-1 reconstruction,
       residual of step 1. Its output is a soft fault map over channel and time, or over place.
    3. The detector embeds latent, residual energies and what the locators saw.
    4. The corrector infers what the fault map hides, and the cleaned signal is the observed one
       outside the map.

    Args:
        autoencoder: Stage 1; frozen, and not a part of this module.
        modalities: What is known of each modality.
        config: Sizes.
    """

    def __init__(
        self,
        autoencoder: Autoencoder,
        modalities: Mapping[str, Modality],
        config: BlockConfig | None = None,
    ) -> None:
        """Build the parts for the latent shapes of the autoencoder."""
        super().__init__()
        config = config or BlockConfig()
        self.kinds = {n: m.kind for n, m in modalities.items()}
        self.channels = {n: len(m.channels) for n, m in modalities.items()}
        self.groups = config.groups
        shapes = {n: autoencoder.latent_shape(n) for n in modalities}
        widths = config.local_widths or {'series': 192, 'image': 48}
        self.locators = nn.ModuleDict(
            {
                n: Locator(m.kind, len(m.channels), self._views(n), widths[m.kind])
                for n, m in modalities.items()
            }
        )
        self.consistency = nn.ModuleDict(
            {
                n: ChannelConsistency(len(m.channels), autoencoder.steps[n])
                for n, m in modalities.items()
                if m.kind == 'series'
            }
        )
        self.restorers = nn.ModuleDict(
            {n: Restorer(m.kind, len(m.channels), widths[m.kind]) for n, m in modalities.items()}
        )
        self.corrector = Corrector(
            shapes,
            {n: self._map_size(n, s) for n, s in shapes.items()},
            config.corrector_width,
        )
        features = sum(
            torch.Size(s).numel()
            + 2 * widths[self.kinds[n]]
            + (self._views(n) - 1) * self._map_size(n, s)
            + 2
            for n, s in shapes.items()
        )
        self.detector = Detector(features, len(modalities), config.detector_width, config.embedding)

    def forward(
        self, autoencoder: Autoencoder, observed: Signals, told: Signals | None = None
    ) -> tuple[Detection, Correction]:
        """Locate, detect and correct the faults in a batch.

        Args:
            autoencoder: Stage 1, in evaluation mode.
            observed: Standardized signals.
            told: Fault maps to use instead of the located ones: the truth, when the ceiling of
                the corrector is asked for.
        """
        found = self.detect(autoencoder, observed)
        maps = told or found.maps
        return found, self.correct(autoencoder, observed, maps, maps)

    def clean(self, autoencoder: Autoencoder, observed: Signals) -> Signals:
        """Standardized cleaned signals of standardized observed ones, without the detector."""
        with self._frozen():
            latents = autoencoder.encode(observed)
            residuals = self.residuals(autoencoder, observed, latents)
        map_logits, _ = self._locate(observed, residuals, None)
        maps = {n: m.float().sigmoid() for n, m in map_logits.items()}
        return self.correct(autoencoder, observed, maps, maps).cleaned

    def detect(
        self, autoencoder: Autoencoder, observed: Signals, clean: Tensor | None = None
    ) -> Detection:
        """Say whether there is a fault, in which modality, and where.

        Args:
            autoencoder: Stage 1, in evaluation mode.
            observed: Standardized signals.
            clean: (batch,) bool, in training the samples without a fault; they set the scales.
        """
        with self._frozen():
            latents = autoencoder.encode(observed)
            residuals = self.residuals(autoencoder, observed, latents)
        map_logits, pooled = self._locate(observed, residuals, clean)
        scaled = self.detector.scaled(self._features(latents, residuals, pooled, map_logits), clean)
        embedding = self.detector.embed(scaled)
        return Detection(self.detector(embedding), embedding, scaled, map_logits, latents)

    def correct(
        self,
        autoencoder: Autoencoder,
        observed: Signals,
        hide: Signals,
        replace: Signals,
        blind: Tensor | None = None,
    ) -> Correction:
        """Infer what is hidden, and put it where it is wanted.

        Gradients reach the corrector, and the maps of `replace`, not those of `hide`.

        Args:
            autoencoder: Stage 1.
            observed: Standardized signals.
            hide: Maps in [0, 1] of what the corrector may not rely on, 1 hides.
            replace: Maps in [0, 1] of what is replaced by what it infers.
            blind: (batch,) bool, samples of which nothing hidden may be looked at, not even as a
                degraded image; none by default.
        """
        with self._frozen():
            hidden = {n: m.detach() for n, m in hide.items()}
            kept = {n: x * (1 - hidden[n]) for n, x in observed.items()}
            latents = autoencoder.encode(kept)
            summaries = {n: self._summary(n, hidden[n], latents[n]) for n in observed}
        corrected = self.corrector(latents, summaries)
        guesses = autoencoder.decode(corrected)
        inferred = {}
        for name, x in observed.items():
            seen = x if blind is None else _where(blind, kept[name], x)
            restorer = self.restorers[name]
            inferred[name] = restorer(kept[name], seen, hidden[name], guesses[name].to(x.dtype))
        cleaned = {n: x + replace[n] * (inferred[n].float() - x) for n, x in observed.items()}
        return Correction(corrected, inferred, cleaned)

    def _frozen(self) -> torch.set_grad_enabled:
        """No gradient in training; in evaluation the whole path has one, as whoever asks wants."""
        return torch.set_grad_enabled(torch.is_grad_enabled() and not self.training)

    def residuals(
        self, autoencoder: Autoencoder, observed: Signals, latents: Signals
    ) -> dict[str, list[Tensor]]:
        """Observed minus reconstructed, observed minus inferred from the rest, consistency.

        Args:
            autoencoder: Stage 1.
            observed: Standardized signals.
            latents: Latent of `observed`.

        Returns:
            For each modality tensors shaped as its signal; for a series also the whitened
            residual of each channel given the others.
        """
        reconstructed = autoencoder.decode(latents)
        inferred = {n: self._inferred_by_part(autoencoder, observed, latents, n) for n in observed}
        found = {n: [x - reconstructed[n], x - inferred[n]] for n, x in observed.items()}
        for name, consistency in self.consistency.items():
            found[name].append(consistency(observed[name]))
        return found

    def fit_start(self, name: str, standardized: Tensor, noise: Tensor) -> None:
        """Take the relations between the channels of a series from clean windows.

        Args:
            name: The modality; nothing happens for an image.
            standardized: (window, channel, time).
            noise: (channel,) sensor noise in standardized units.
        """
        if name in self.consistency:
            self.consistency[name].fit(standardized, noise)  # type: ignore[operator]

    def _inferred_by_part(
        self, autoencoder: Autoencoder, observed: Signals, latents: Signals, name: str
    ) -> Tensor:
        """Each part of one modality inferred from all that is not in the part."""
        signal, parts = observed[name], self.parts(name, observed[name].device)
        batch, count = len(signal), len(parts)
        hidden = parts.view(count, 1, -1, *[1] * (signal.dim() - 2))
        kept = (signal * (1 - hidden)).flatten(0, 1)
        kept_part = self._encode_kept(autoencoder, name, kept)
        repeated = {n: z.repeat(count, *[1] * (z.dim() - 1)) for n, z in latents.items()}
        summaries = {
            n: z.new_zeros(count * batch, self._map_size(n, tuple(z.shape[1:])))
            for n, z in latents.items()
        }
        mask = hidden[:, :, : self._map_shape(name, signal)[0]]
        mask = mask.expand(count, batch, *self._map_shape(name, signal)).flatten(0, 1)
        summaries[name] = self._summary(name, mask, kept_part)
        latent = self.corrector(repeated | {name: kept_part}, summaries, names=(name,))
        guess = autoencoder.decode(latent)[name].to(signal.dtype)
        inferred = self.restorers[name](kept, kept, mask, guess).reshape(count, *signal.shape)
        return torch.sum(inferred * hidden, dim=0)

    def _encode_kept(self, autoencoder: Autoencoder, name: str, kept: Tensor) -> Tensor:
        """Latent of what the parts leave of a signal, (part x batch, latent channel, position)."""
        if self.kinds[name] == 'image':  # nothing is left, the same for every sample
            nothing = autoencoder.encode({name: kept[:1]})[name]
            return nothing.expand(len(kept), *nothing.shape[1:])
        return autoencoder.encode({name: kept})[name]

    def parts(self, name: str, device: torch.device) -> Tensor:
        """Which channels are hidden together, (part, channel) float of zeros and ones.

        The channels of a series are dealt to the groups in turn, so that neighbouring channels are
        in different groups; an image is one part, with all its channels.
        """
        if self.kinds[name] == 'image':
            return torch.ones(1, self.channels[name], device=device)
        count = min(self.groups, self.channels[name])
        group = torch.arange(self.channels[name], device=device) % count
        return (group == torch.arange(count, device=device)[:, None]).float()

    def _locate(
        self,
        observed: Signals,
        residuals: dict[str, list[Tensor]],
        clean: Tensor | None,
    ) -> tuple[Signals, Signals]:
        logits, pooled = {}, {}
        for name, signal in observed.items():
            views = torch.cat([signal, *residuals[name]], dim=1)
            logits[name], pooled[name] = self.locators[name](views, clean)
        return logits, pooled

    def _features(
        self,
        latents: Signals,
        residuals: dict[str, list[Tensor]],
        pooled: Signals,
        map_logits: Signals,
    ) -> Tensor:
        """What the detector gets, (batch, feature)."""
        parts = []
        for name, latent in latents.items():
            energies = [self._energy(name, r, latent) for r in residuals[name]]
            parts += [latent.flatten(1), *energies, pooled[name], _evidence(map_logits[name])]
        return torch.cat(parts, dim=1).float()

    def _energy(self, name: str, residual: Tensor, latent: Tensor) -> Tensor:
        """Root mean square of a residual at the resolution of the summarized fault map."""
        square = residual.square()
        if self.kinds[name] == 'image':
            square = square.mean(dim=1, keepdim=True)
        return self._summary(name, square, latent).clamp_min(1e-12).sqrt()

    def _summary(self, name: str, fault_map: Tensor, latent: Tensor) -> Tensor:
        """Mean of a map over each latent position, (batch, map size)."""
        if self.kinds[name] == 'image':
            rows, columns = latent.shape[2:]
            return nn.functional.adaptive_avg_pool2d(fault_map, (rows, columns)).flatten(1)
        return nn.functional.adaptive_avg_pool1d(fault_map, latent.shape[2]).flatten(1)

    def _views(self, name: str) -> int:
        return 4 if self.kinds[name] == 'series' else 3

    def _map_size(self, name: str, latent_shape: tuple[int, ...]) -> int:
        places = torch.Size(latent_shape[1:]).numel()
        return places if self.kinds[name] == 'image' else self.channels[name] * places

    def _map_shape(self, name: str, signal: Tensor) -> tuple[int, ...]:
        channels = 1 if self.kinds[name] == 'image' else self.channels[name]
        return (channels, *signal.shape[2:])


def _where(rows: Tensor, chosen: Tensor, other: Tensor) -> Tensor:
    """`chosen` in the samples of (batch,) bool `rows`, `other` elsewhere."""
    return torch.where(rows.view(-1, *[1] * (other.dim() - 1)), chosen, other)


def _evidence(map_logits: Tensor, places: int = 32) -> Tensor:
    """Mean of the highest logits of a fault map, and of all; (batch, 2)."""
    logits = map_logits.flatten(1)
    top = logits.topk(min(places, logits.shape[1]), dim=1).values
    return torch.stack([top.mean(dim=1), logits.mean(dim=1)], dim=1)
