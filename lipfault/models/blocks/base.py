"""What every compute block of stage 2 gives, and how it is asked."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import torch
from torch import Tensor, nn

from lipfault.modality import Modality
from lipfault.models.autoencoder.autoencoder import Autoencoder, Signals
from lipfault.models.blocks.detector import FaultDetector


@dataclass
class BlockConfig:
    """Which compute block, and its sizes.

    Args:
        kind: `fault_map`, which corrects only what it has located; `paper`, as published; one of
            `lipfault.models.blocks.baselines`; or the class path of a block of your own.
        corrector_width: Hidden units of the dense corrector, and of the trunk of `paper`.
        detector_width: Hidden units of the dense detector.
        embedding: Size of the detector's embedding.
        local_widths: Hidden channels of a locator and of a inpainter of `fault_map`, by kind of
            modality.
        rounds: How often `fault_map` corrects outside training, each time hiding what it found to
            be wrong the time before.
        code: Numbers in the code that `vae` and `pca` press all modalities into.
    """

    kind: str = 'fault_map'
    corrector_width: int = 768
    detector_width: int = 256
    embedding: int = 64
    local_widths: Mapping[str, int] | None = None
    rounds: int = 2
    code: int = 128


@dataclass
class SideInfo:
    """What is known of observed signals besides their values.

    Args:
        missing: Bool maps of the places where no value arrived, shaped as the fault maps.
        stillness: For images (batch,) in [0, 1], 1 where a frame repeats the one before bit by bit,
            see `lipfault.data.stillness`; an image left out counts as a moving one.
    """

    missing: Signals = field(default_factory=dict)
    stillness: Signals = field(default_factory=dict)

    def rows(self, rows: Tensor) -> 'SideInfo':
        """The same of some samples, (n,) int64."""
        missing, stillness = (
            {n: x[rows] for n, x in each.items()} for each in (self.missing, self.stillness)
        )
        return SideInfo(missing, stillness)


@dataclass
class Detection:
    """What a compute block finds in a batch of M modalities.

    Args:
        logits: (batch, M), positive where a modality is faulty.
        embedding: (batch, embedding), the detector's.
        scaled: (batch, feature), the detector's input, mean 0 and variance 1 on clean samples.
        map_logits: Logits of the fault map of each modality: series (batch, channel, time), image
            (batch, 1, height, width). Empty for a block that does not locate.
        latents: Latent of the observed signals.
        modality_logits: (batch, M), the part of the logits that a block trains by a term of its
            own; None for a block without.
    """

    logits: Tensor
    embedding: Tensor
    scaled: Tensor
    map_logits: Signals
    latents: Signals
    modality_logits: Tensor | None = None

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
    """What a compute block makes of a batch.

    Args:
        latents: Latent that the corrector gives.
        inferred: Standardized signals decoded from it.
        cleaned: Standardized signals: observed where no fault is found, inferred where one is.
        map_logits: Logits of the fault map that decided it, as in `Detection`; empty where the
            place of the fault was told, or nothing is located.
    """

    latents: Signals
    inferred: Signals
    cleaned: Signals
    map_logits: Signals

    @property
    def maps(self) -> Signals:
        """Fault maps in [0, 1]."""
        return {n: m.float().sigmoid() for n, m in self.map_logits.items()}


class SampleDraws(Protocol):
    """Random numbers of each sample, a function of seed, epoch and sample id."""

    def uniform(self, name: str, shape: Sequence[int] = ()) -> Tensor:
        """(batch, *shape) in [0, 1)."""

    def normal(self, name: str, shape: Sequence[int] = ()) -> Tensor:
        """(batch, *shape), standard normal."""

    def integers(self, name: str, low: int, high: Tensor | int) -> Tensor:
        """(batch,) int64 from `low` to `high`, both included."""


@dataclass
class StepData:
    """What one training step shows a compute block, and what it made of it.

    Args:
        observed: Standardized signals, finite.
        clean: The truth.
        masks: True fault maps, bool, shaped as in `Detection`.
        modality: (batch, M) bool, the faulty modalities.
        visible: (batch,) bool, samples that can teach to tell a fault from none.
        found: What `detect` gave.
        corrected: What `correct` gave.
        draws: Where a block takes its random numbers from.
    """

    observed: Signals
    clean: Signals
    masks: Signals
    modality: Tensor
    visible: Tensor
    found: Detection
    corrected: Correction
    draws: SampleDraws


class ComputeBlock(nn.Module, ABC):
    """A detector and a corrector on top of a frozen autoencoder.

    Args:
        modalities: What is known of each modality.
    """

    locates: bool
    rounds: int = 1
    corrector: nn.Module
    detector: FaultDetector

    def __init__(self, modalities: Mapping[str, Modality]) -> None:
        """Remember the kind of each modality."""
        super().__init__()
        self.kinds = {n: m.kind for n, m in modalities.items()}

    def fit_start(self, autoencoder: Autoencoder, standardized: Signals) -> None:
        """Take from clean windows what has a closed form; nothing by default.

        Args:
            autoencoder: Stage 1.
            standardized: Clean signals, of windows that stage 1 was not trained on.
        """

    def own_terms(self, autoencoder: Autoencoder, step_data: StepData) -> dict[str, Tensor]:
        """Terms of the training objective that this block alone has; none by default.

        Args:
            autoencoder: Stage 1.
            step_data: The training step.

        Returns:
            Scalars, weighted against each other, by a name that is logged.
        """
        return {}

    @abstractmethod
    def detect(
        self,
        autoencoder: Autoencoder,
        observed: Signals,
        clean: Tensor | None = None,
        known: SideInfo | None = None,
    ) -> Detection:
        """Say whether there is a fault, in which modality, and where.

        Args:
            autoencoder: Stage 1, in evaluation mode.
            observed: Standardized signals, finite.
            clean: (batch,) bool, in training the samples without a fault; they set the scales.
            known: What is known besides the values; nothing by default.
        """

    @abstractmethod
    def correct(
        self,
        autoencoder: Autoencoder,
        observed: Signals,
        hide: Signals,
        located: Signals | None = None,
        blind: Tensor | None = None,
    ) -> Correction:
        """Infer the clean signals.

        Args:
            autoencoder: Stage 1.
            observed: Standardized signals.
            hide: Maps in [0, 1] of what the corrector may not rely on, 1 hides.
            located: Logits of the fault maps of `detect`, from which it is decided what to
                replace by what is inferred; without them just what is hidden.
            blind: (batch,) bool, samples of which nothing hidden may be looked at, not even as a
                degraded image; none by default.
        """

    def forward(
        self,
        autoencoder: Autoencoder,
        observed: Signals,
        told: Signals | None = None,
        known: SideInfo | None = None,
    ) -> tuple[Detection, Correction]:
        """Locate, detect and correct the faults in a batch.

        Args:
            autoencoder: Stage 1, in evaluation mode.
            observed: Standardized signals.
            told: Fault maps to use instead of the located ones: the truth, when the ceiling of
                the corrector is asked for.
            known: See `detect`.
        """
        found = self.detect(autoencoder, observed, known=known)
        if told:
            return found, self.correct(autoencoder, observed, told)
        return found, self.settle(autoencoder, observed, found.map_logits)

    def settle(self, autoencoder: Autoencoder, observed: Signals, located: Signals) -> Correction:
        """Correct, hide what turned out to be wrong, and correct again.

        Args:
            autoencoder: Stage 1.
            observed: Standardized signals.
            located: Logits of the fault maps of `detect`.
        """
        hide = {n: m.float().sigmoid() for n, m in located.items()}
        corrected = self.correct(autoencoder, observed, hide, located)
        for _ in range(self.rounds - 1):
            corrected = self.correct(autoencoder, observed, corrected.maps, located)
        return corrected

    def clean(self, autoencoder: Autoencoder, observed: Signals) -> Signals:
        """Standardized cleaned signals of standardized observed ones."""
        cleaned: Signals = self(autoencoder, observed)[1].cleaned
        return cleaned

    def frozen(self) -> torch.set_grad_enabled:
        """No gradient in training; in evaluation the whole path has one, as whoever asks wants."""
        return torch.set_grad_enabled(torch.is_grad_enabled() and not self.training)
