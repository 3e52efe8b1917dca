"""The parts of the fault-map block that belong to one modality."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from lipfault.modality import Modality
from lipfault.models.blocks.fault_map.classifier import Classifier
from lipfault.models.blocks.fault_map.features import (
    RANKED,
    ResidualFeatures,
    map_features,
    map_size,
    rms,
)
from lipfault.models.blocks.fault_map.inpainter import Inpainter
from lipfault.models.blocks.fault_map.latent_residual import LatentResidual
from lipfault.models.blocks.fault_map.locator import Locator
from lipfault.models.blocks.fault_map.map_refiner import MapRefiner
from lipfault.models.blocks.fault_map.pixel_scale import PixelScale
from lipfault.models.blocks.fault_map.repeats import SIZE as REPEATS
from lipfault.models.blocks.fault_map.repeats import RepeatedValues
from lipfault.models.blocks.interface.types import Observation
from lipfault.models.layers.patch_net import patch_of
from lipfault.models.layers.running_scale import RunningScale, symlog


@dataclass
class Residuals:
    """Residuals of one modality.

    Args:
        latent: Latent of the observed signal, (batch, latent channel, position ...).
        signals: Tensors shaped as the signal, see `LocatingBlock.residuals`.
        whitened: Whitened latent residual, (batch, component), of unit variance on clean windows;
            None where no other modality predicts this one.
        expected: Latent that the other modalities predict, shaped as `latent`; None where there is
            no prediction.
    """

    latent: Tensor
    signals: list[Tensor]
    whitened: Tensor | None
    expected: Tensor | None = None


@dataclass(frozen=True)
class PartSizes:
    """Sizes from which the parts of one modality are built.

    Args:
        modality: Description of the modality.
        latent_shape: (latent channel, position ...).
        residuals: Number of residuals, each shaped as the signal.
        is_predicted: Whether other modalities predict the latent of this one.
        width: Hidden channels of locator and inpainter.
        evidence: Features of the correction that the classifier receives, too.
        step: (channel,) step of the values of a series, standardized, if the classifier receives
            the evidence of repeated values, too.
    """

    modality: Modality
    latent_shape: tuple[int, ...]
    residuals: int
    is_predicted: bool
    width: int
    evidence: int = 0
    step: Tensor | None = None

    @property
    def kind(self) -> str:
        """`series` or `image`."""
        return self.modality.kind

    @property
    def channels(self) -> int:
        """Channels of the signal."""
        return len(self.modality.channels)

    @property
    def views(self) -> int:
        """Channels of the signal and its residuals together."""
        return (1 + self.residuals) * self.channels

    @property
    def map_size(self) -> int:
        """Features in the fault map averaged over latent positions."""
        return map_size(self.kind, self.channels, self.latent_shape)

    @property
    def classifier_inputs(self) -> int:
        """Input features of the classifier, see `ModalityParts.classifier_inputs`."""
        ranked = RANKED + 1 + ResidualFeatures.size(self.residuals)
        # One more for the norm of the latent residual, one more for the stillness of an image.
        beside = self.is_predicted + (self.kind == 'image') + self.evidence
        beside += 0 if self.step is None else REPEATS
        return 2 * self.width + ranked + beside

    def locator(self) -> Locator:
        """Build the locator; that of an image is conditioned on the stillness.

        Returns:
            A new locator.
        """
        is_image = self.kind == 'image'
        patch = patch_of(self.modality)
        return Locator(
            self.kind, self.channels, self.views, self.width, patch, conditioned=is_image
        )

    def inpainter(self) -> Inpainter:
        """Build the inpainter.

        Returns:
            A new inpainter, which returns its guess unchanged.
        """
        return Inpainter(self.kind, self.channels, self.width, patch_of(self.modality))

    def map_refiner(self) -> MapRefiner:
        """Build the map refiner.

        Returns:
            A new map refiner, which returns the logits unchanged.
        """
        return MapRefiner(self.kind, self.channels, patch=patch_of(self.modality))

    def classifier(self) -> Classifier:
        """Build the classifier.

        Returns:
            A new classifier.
        """
        return Classifier(self.classifier_inputs)


class ModalityParts(nn.Module):
    """Residual scales, locator and classifier of one modality.

    Args:
        sizes: Sizes of the parts.
        locator: Fault map from the views: a `Locator`, or a module with its inputs and outputs.
    """

    def __init__(self, sizes: PartSizes, locator: nn.Module) -> None:
        """Build the scales and the classifier."""
        super().__init__()
        modality, shape = sizes.modality, sizes.latent_shape
        self.is_image = modality.size is not None
        self.latent_residual = LatentResidual(shape) if sizes.is_predicted else None
        self.pixel_scale = (
            PixelScale(sizes.residuals, sizes.channels, modality.size) if modality.size else None
        )
        self.view_scale = RunningScale(sizes.views)
        self.features = ResidualFeatures(sizes.kind, sizes.channels, shape, sizes.residuals)
        self.locator, self.classifier = locator, sizes.classifier()
        self.repeats = None if sizes.step is None else RepeatedValues(sizes.step)
        end = sizes.classifier_inputs - sizes.evidence
        self.repeats_at = slice(end - REPEATS, end)

    def locate(
        self, name: str, observation: Observation, residuals: Residuals
    ) -> tuple[Tensor, Tensor]:
        """Compute the fault map.

        Args:
            name: Name of this modality.
            observation: The batch, standardized.
            residuals: Residuals of this modality.

        Returns:
            Logits of the fault map, (batch, channel, time) or (batch, 1, height, width), and the
            pooled hidden features of the locator, (batch, feature).
        """
        views = torch.cat([observation.signals[name], *residuals.signals], dim=1)
        if observation.is_clean is not None:
            self.view_scale.update(views, observation.is_clean)
        # Compressed, so that a fault of any size is within the range of the networks.
        views = symlog(self.view_scale(views))
        condition = observation.stillness(name) if self.is_image else None
        located: tuple[Tensor, Tensor] = self.locator(views, condition)
        return located

    def logit(self, inputs: Tensor) -> Tensor:
        """Classify the modality.

        Args:
            inputs: (batch, feature), those of `classifier_inputs` and the evidence of a correction.

        Returns:
            Logit (batch, 1), positive if faulty.
        """
        logit: Tensor = self.classifier(inputs)
        if self.repeats is None:
            return logit
        return logit + self.repeats.logit(inputs[:, self.repeats_at])

    def classifier_inputs(
        self,
        name: str,
        observation: Observation,
        residuals: Residuals,
        located: tuple[Tensor, Tensor],
    ) -> Tensor:
        """Collect the input features of the classifier.

        Args:
            name: Name of this modality.
            observation: The batch, standardized.
            residuals: Residuals of this modality.
            located: Logits of the fault map and pooled features, output of `locate`.

        Returns:
            (batch, feature), float32.
        """
        map_logits, pooled = located
        latent = residuals.latent
        parts = [pooled, map_features(map_logits, latent, RANKED)]
        parts.append(self.features.scores(residuals.signals, latent, observation.is_clean))
        parts += [rms(residuals.whitened)] if residuals.whitened is not None else []
        parts += [observation.stillness(name)] if self.is_image else []
        if self.repeats is not None:
            parts.append(self.repeats(observation.signals[name], observation.is_clean))
        return torch.cat([p.float() for p in parts], dim=1)
