"""Residual-contrastive attention over the tokens of all modalities."""

from itertools import pairwise

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn import functional

from lipfault.modality import Modality, Signals
from lipfault.models.blocks.interface.base import WholeSignalBlock
from lipfault.models.blocks.interface.config import BlockConfig
from lipfault.models.blocks.interface.detector import IdentityEmbedding
from lipfault.models.blocks.interface.types import StepData
from lipfault.models.layers.running_scale import RunningScale

# Sizes of the published code, github.com/Diyarino/robust-multimodal-latent-repair.
IMAGE_WIDTHS = (256, 128, 64, 32, 8)
"""Channels of the image encoder after each halving."""

SERIES_WIDTHS = (256, 256, 256, 256, 392)
"""Units of the dense layers of the series encoder."""

HEADS = 8
"""Attention heads."""

SLOPE = 0.2
"""Negative slope of LeakyReLU."""

MASK_WEIGHT = 0.01
"""Weight of the cross entropy of faulty tokens against the squared error."""


class TokenScores(IdentityEmbedding):
    """Ratio of each token's norm to its attended norm, relative to the mean of its modality.

    Args:
        counts: Number of tokens of each modality.
    """

    def __init__(self, counts: list[int]) -> None:
        """Start at a mean of zero and a steepness of one."""
        super().__init__()
        self.counts = counts
        self.mean = RunningScale(len(counts), momentum=0.1, center=True)
        self.steepness = nn.Parameter(torch.ones(()))

    def scaled(self, features: Tensor, is_clean: Tensor | None = None) -> Tensor:
        """Compute the logits of the tokens.

        Args:
            features: (batch, token) ratios.
            is_clean: Given in training; the running mean is over all samples, as published.

        Returns:
            (batch, token) logits that a token is faulty.
        """
        if is_clean is not None:
            means = [
                part.mean(dim=1) for part in torch.split(features.detach(), self.counts, dim=1)
            ]
            self.mean.update(torch.stack(means, dim=1), torch.ones_like(is_clean))
        mean = self.mean.mean.to(features.dtype)
        shift = torch.cat([m.expand(c) for m, c in zip(mean, self.counts, strict=True)])
        return self.steepness * (features - shift)

    def forward(self, embedding: Tensor) -> Tensor:
        """Compute the logits of the modalities.

        Args:
            embedding: (batch, token).

        Returns:
            (batch, modality), the largest logit of the tokens of each modality.
        """
        parts = torch.split(embedding, self.counts, dim=1)
        return torch.stack([part.amax(dim=1) for part in parts], dim=1)


class TokenAttention(nn.Module):
    """Multi-head attention of tokens to all tokens.

    Args:
        width: Dimensions of a token, a multiple of the heads.

    Reference:
        Vaswani et al. 2017, https://arxiv.org/abs/1706.03762.
    """

    def __init__(self, width: int) -> None:
        """Build the four dense layers."""
        super().__init__()
        self.query, self.key, self.value, self.out = (nn.Linear(width, width) for _ in range(4))

    def forward(self, tokens: Tensor) -> Tensor:
        """Attend to all tokens.

        Args:
            tokens: (batch, token, width).

        Returns:
            (batch, token, width).
        """
        parts = [
            rearrange(layer(tokens), 'b t (h d) -> b h t d', h=HEADS)
            for layer in (self.query, self.key, self.value)
        ]
        mixed = functional.scaled_dot_product_attention(*parts)
        attended: Tensor = self.out(rearrange(mixed, 'b h t d -> b t (h d)'))
        return attended


class TokenCoder(nn.Module):
    """Encodes a signal as tokens and decodes it: one token per image cell, one per time step.

    Args:
        modality: Description of the modality.
        steps: Length of the window of a series.
        width: Dimensions of a token.
    """

    def __init__(self, modality: Modality, steps: int, width: int) -> None:
        """Build encoder and mirrored decoder."""
        super().__init__()
        self.image, channels = modality.size is not None, len(modality.channels)
        if modality.size is None:
            self.grid: tuple[int, ...] = (steps,)
            widths: tuple[int, ...] = SERIES_WIDTHS
            self.encoder, self.decoder = _dense(channels, *widths), _dense(*widths[::-1], channels)
        else:
            halvings = max(1, min(len(IMAGE_WIDTHS), (min(modality.size) // 8).bit_length() - 1))
            self.grid = tuple(side // 2**halvings for side in modality.size)
            widths = IMAGE_WIDTHS[-halvings:]
            self.encoder = _halving(channels, *widths)
            self.decoder = _doubling(*widths[::-1], channels)
        self.into, self.out = nn.Linear(widths[-1], width), nn.Linear(width, widths[-1])
        self.position = nn.Parameter(0.02 * torch.randn(self.count, width))

    @property
    def count(self) -> int:
        """Number of tokens."""
        return torch.Size(self.grid).numel()

    def encode(self, signal: Tensor) -> Tensor:
        """Encode a signal.

        Args:
            signal: (batch, channel, time) or (batch, channel, height, width).

        Returns:
            Tokens (batch, token, width).
        """
        if self.image:
            hidden = self.encoder(signal).flatten(2).transpose(1, 2)
        else:
            hidden = self.encoder(signal.transpose(1, 2))
        tokens: Tensor = self.into(hidden) + self.position
        return tokens

    def decode(self, tokens: Tensor) -> Tensor:
        """Decode tokens.

        Args:
            tokens: (batch, token, width).

        Returns:
            The signal, (batch, channel, time) or (batch, channel, height, width).
        """
        hidden = self.out(tokens)
        if self.image:
            hidden = hidden.transpose(1, 2).reshape(len(hidden), -1, *self.grid)
            image: Tensor = self.decoder(hidden)
            return image
        series: Tensor = self.decoder(hidden).transpose(1, 2)
        return series

    def faulty(self, mask: Tensor) -> Tensor:
        """Find the tokens that a fault mask touches.

        Args:
            mask: (batch, channel, time) or (batch, channel, height, width).

        Returns:
            (batch, token) float, 1 where any masked value belongs to the token.
        """
        anywhere = mask.float().amax(dim=1, keepdim=True)
        pool = functional.adaptive_max_pool2d if self.image else functional.adaptive_max_pool1d
        touched: Tensor = pool(anywhere, self.grid)
        return touched.flatten(1)


class ResidualAttentionBlock(WholeSignalBlock):
    """Mixes tokens with their attention in proportion to their residual (MMRCA).

    Encoders and decoders of its own; score β (|token| / |attended| - running mean), α =
    sigmoid(score), mixed = (1 - α) token + (1 + α) attended; mean squared errors plus 0.01 times
    the binary cross entropy of faulty tokens. Of the five image layers as many are used as leave 8
    tokens a side. Ours: a learned embedding of each position, a learned β, no dropout, and the
    largest score of its tokens as the score of a modality.

    Args:
        autoencoder: Stage 1; used only for the latents of `Detection` and `Correction`.
        modalities: Description of each modality.
        config: `corrector_width` is the width of a token, a multiple of 8; published: 288.

    Reference:
        Altinses and Schwung, multimodal residual-contrastive attention,
        https://github.com/Diyarino/robust-multimodal-latent-repair.
    """

    detector: TokenScores
    corrector: TokenAttention

    default_config = BlockConfig(corrector_width=288)

    def build(self) -> None:
        """Build the coders, the attention and the detector."""
        width, steps = self.config.corrector_width, self.autoencoder.steps
        self.coders = nn.ModuleDict(
            {n: TokenCoder(m, steps.get(n, 1), width) for n, m in self.modalities.items()}
        )
        self.corrector = TokenAttention(width)
        self.detector = TokenScores([self._coder(n).count for n in self.modalities])

    def features(self, signals: Signals, latents: Signals) -> Tensor:
        """Compute the ratio of each token's norm to its attended norm.

        Args:
            signals: Observed signals, encoded by the coders of the block.
            latents: Without effect.

        Returns:
            Ratios (batch, token), float32.
        """
        return _ratios(*self._tokens(signals))

    def reconstruct(self, signals: Signals) -> tuple[Signals, Signals]:
        """Mix tokens with their attention, and decode them.

        Args:
            signals: Observed signals, standardized.

        Returns:
            Latents of stage 1 of the observed signals, without gradient, and the decoded signals.
        """
        tokens, attended = self._tokens(signals)
        gate = self.detector.scaled(_ratios(tokens, attended)).sigmoid()[..., None]
        mixed = (1 - gate) * tokens + (1 + gate) * attended
        parts = zip(signals, torch.split(mixed, self.detector.counts, dim=1), strict=True)
        decoded = {n: self._coder(n).decode(part) for n, part in parts}
        with torch.no_grad():
            latents = self.autoencoder.encode(signals)
        return latents, decoded

    def own_terms(self, step_data: StepData) -> dict[str, Tensor]:
        """Return the binary cross entropy of the faulty tokens.

        Args:
            step_data: Inputs, targets and outputs of the training step.

        Returns:
            The scalar `tokens`.
        """
        signals = step_data.observation.signals.values()
        masks = [
            self._coder(n).faulty(m.expand_as(x[:, : m.shape[1]]))
            for (n, m), x in zip(step_data.true_masks.items(), signals, strict=True)
        ]
        truth, logits = torch.cat(masks, dim=1), step_data.detection.scaled.float()
        loss = functional.binary_cross_entropy_with_logits(logits, truth)
        return {'tokens': MASK_WEIGHT * loss}

    def _tokens(self, signals: Signals) -> tuple[Tensor, Tensor]:
        """Tokens of all modalities, and their attention, (batch, token, width) each."""
        tokens = torch.cat([self._coder(n).encode(x) for n, x in signals.items()], dim=1)
        return tokens, self.corrector(tokens)

    def _coder(self, name: str) -> TokenCoder:
        coder: TokenCoder = self.coders[name]  # type: ignore[assignment]
        return coder


def _ratios(tokens: Tensor, attended: Tensor) -> Tensor:
    """|token| / |attended|, (batch, token) float32."""
    sizes = [x.float().square().sum(dim=2).add(1e-6).sqrt() for x in (tokens, attended)]
    return sizes[0] / sizes[1]


def _dense(*sizes: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for before, after in pairwise(sizes):
        layers += [nn.Linear(before, after), nn.LeakyReLU(SLOPE)]
    return nn.Sequential(*layers[:-1])


def _halving(*widths: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for before, after in pairwise(widths):
        layers += [nn.Conv2d(before, after, 3, 2, 1), nn.LeakyReLU(SLOPE)]
    return nn.Sequential(*layers[:-1])


def _doubling(*widths: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for before, after in pairwise(widths):
        layers += [nn.ConvTranspose2d(before, after, 3, 2, 1, 1), nn.LeakyReLU(SLOPE)]
    return nn.Sequential(*layers[:-1])
