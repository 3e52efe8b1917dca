"""Base classes of the baselines: reconstruct all signals, and detect by the residual."""

from abc import abstractmethod
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from lipfault.modality import Modality
from lipfault.models.autoencoder.autoencoder import Autoencoder, Signals
from lipfault.models.blocks.base import BlockConfig, ComputeBlock, Correction, Detection, SideInfo
from lipfault.models.blocks.baselines.residual_score import ResidualScore, errors, looks
from lipfault.models.blocks.detector import Detector, FaultDetector
from lipfault.models.blocks.joint_latent import JointLatent

CHUNK = 500
"""Clean windows treated at once before training."""


class ReconstructionBlock(ComputeBlock):
    """Restores the signals as a whole; the detector sees the residual, observed minus restored.

    It locates nothing, so it cannot be told where a fault is either. In training the detector's
    gradient does not reach what restores.

    Args:
        autoencoder: Stage 1; frozen, and not a part of this module.
        modalities: What is known of each modality.
        config: Sizes.
    """

    locates = False

    def __init__(
        self,
        autoencoder: Autoencoder,
        modalities: Mapping[str, Modality],
        config: BlockConfig | None = None,
    ) -> None:
        """Build the detector; what restores is up to the baseline."""
        super().__init__(modalities)
        self.config = config or BlockConfig()
        self.latent = JointLatent.of(autoencoder, modalities)
        self.places = {
            n: (shape[1], shape[2])
            for n, shape in self.latent.shapes.items()
            if self.kinds[n] == 'image'
        }
        self.detector = self.new_detector(modalities)

    def new_detector(self, modalities: Mapping[str, Modality]) -> FaultDetector:
        """A dense detector of the residual of each channel, or part of an image."""
        number = sum(self.looks_of(modalities).values())
        return Detector(number, len(modalities), self.config.detector_width, self.config.embedding)

    def looks_of(self, modalities: Mapping[str, Modality]) -> dict[str, int]:
        """How many residuals of each modality the detector sees."""
        return {
            n: torch.Size(self.places[n]).numel() if n in self.places else len(m.channels)
            for n, m in modalities.items()
        }

    def features(self, observed: Signals, restored: Signals) -> Tensor:
        """What the detector sees, (batch, number)."""
        return looks(observed, restored, self.places)

    @abstractmethod
    def restore(self, autoencoder: Autoencoder, observed: Signals) -> tuple[Signals, Signals]:
        """Latents and standardized signals as they should be.

        Args:
            autoencoder: Stage 1.
            observed: Standardized signals.
        """

    def detect(
        self,
        autoencoder: Autoencoder,
        observed: Signals,
        clean: Tensor | None = None,
        known: SideInfo | None = None,
    ) -> Detection:
        """Embed the residual."""
        with self.frozen():
            latents = autoencoder.encode(observed)
            features = self.features(observed, self.restore(autoencoder, observed)[1])
        scaled = self.detector.scaled(features, clean)
        embedding = self.detector.embed(scaled)
        return Detection(self.detector(embedding), embedding, scaled, {}, latents)

    def correct(
        self,
        autoencoder: Autoencoder,
        observed: Signals,
        hide: Signals,
        located: Signals | None = None,
        blind: Tensor | None = None,
    ) -> Correction:
        """Restore everything; the maps are not used."""
        latents, restored = self.restore(autoencoder, observed)
        cleaned = {n: x.float() for n, x in restored.items()}
        return Correction(latents, restored, cleaned, {})

    def clean(self, autoencoder: Autoencoder, observed: Signals) -> Signals:
        """Standardized cleaned signals of standardized observed ones, without the detector."""
        return self.correct(autoencoder, observed, {}).cleaned


class ClosedFormBlock(ReconstructionBlock):
    """Nothing is trained: the score is the residual in standard scores of clean windows."""

    detector: ResidualScore

    def __init__(
        self,
        autoencoder: Autoencoder,
        modalities: Mapping[str, Modality],
        config: BlockConfig | None = None,
    ) -> None:
        """Add what corrects, if anything does."""
        super().__init__(autoencoder, modalities, config)
        self.corrector = self.new_corrector(autoencoder, modalities)

    def new_corrector(
        self, autoencoder: Autoencoder, modalities: Mapping[str, Modality]
    ) -> nn.Module:
        """Nothing by default, for those who ask for its norm."""
        return nn.Identity()

    def new_detector(self, modalities: Mapping[str, Modality]) -> ResidualScore:
        """Standard scores."""
        return ResidualScore(len(modalities))

    def features(self, observed: Signals, restored: Signals) -> Tensor:
        """The error of each modality, (batch, M)."""
        return errors(observed, restored)

    @torch.no_grad()
    def fit_start(self, autoencoder: Autoencoder, standardized: Signals) -> None:
        """Take from clean windows which residual is normal."""
        self.detector.fit(self.clean_errors(autoencoder, standardized))

    def clean_errors(self, autoencoder: Autoencoder, standardized: Signals) -> Tensor:
        """(window, M) errors of clean windows."""
        found = []
        for start in range(0, len(next(iter(standardized.values()))), CHUNK):
            windows = {n: x[start : start + CHUNK] for n, x in standardized.items()}
            found.append(self.features(windows, self.restore(autoencoder, windows)[1]))
        return torch.cat(found)
