"""Residual-contrastive attention over the tokens of all modalities."""

from collections.abc import Mapping
from itertools import pairwise

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn import functional

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
from lipfault.models.blocks.detector import FaultDetector
from lipfault.models.layers.running_scale import RunningScale

IMAGE_WIDTHS = (256, 128, 64, 32, 8)
SERIES_WIDTHS = (256, 256, 256, 256, 392)
HEADS = 8
SLOPE = 0.2
MASK_WEIGHT = 0.01


class TokenScores(FaultDetector):
    """How much larger a token is than what attention makes of it, above its modality's mean.

    Args:
        counts: Number of tokens of each modality.
    """

    def __init__(self, counts: list[int]) -> None:
        """Start at a mean of zero and a steepness of one."""
        super().__init__()
        self.counts = counts
        self.mean = RunningScale(len(counts), momentum=0.1, center=True)
        self.steepness = nn.Parameter(torch.ones(()))
        self.layers = nn.Identity()

    def scaled(self, features: Tensor, clean: Tensor | None = None) -> Tensor:
        """(batch, token) logits that a token is faulty.

        Args:
            features: (batch, token) ratios.
            clean: In training; the running mean is over all samples, as published.
        """
        if clean is not None:
            means = [
                part.mean(dim=1) for part in torch.split(features.detach(), self.counts, dim=1)
            ]
            self.mean.update(torch.stack(means, dim=1), torch.ones_like(clean))
        mean = self.mean.mean.to(features.dtype)
        shift = torch.cat([m.expand(c) for m, c in zip(mean, self.counts, strict=True)])
        return self.steepness * (features - shift)

    def embed(self, scaled: Tensor) -> Tensor:
        """The logits of the tokens themselves."""
        embedding: Tensor = self.layers(scaled)
        return embedding

    def forward(self, embedding: Tensor) -> Tensor:
        """(batch, modality) logits: those of the most suspicious token."""
        parts = torch.split(embedding, self.counts, dim=1)
        return torch.stack([part.amax(dim=1) for part in parts], dim=1)


class TokenAttention(nn.Module):
    """Multi-head attention of tokens to all tokens (Vaswani et al. 2017).

    Args:
        width: Numbers in a token, a multiple of the heads.
    """

    def __init__(self, width: int) -> None:
        """Build the four dense layers."""
        super().__init__()
        self.query, self.key, self.value, self.out = (nn.Linear(width, width) for _ in range(4))

    def forward(self, tokens: Tensor) -> Tensor:
        """(batch, token, width) of the same shape."""
        parts = [
            rearrange(layer(tokens), 'b t (h d) -> b h t d', h=HEADS)
            for layer in (self.query, self.key, self.value)
        ]
        mixed = functional.scaled_dot_product_attention(*parts)
        attended: Tensor = self.out(rearrange(mixed, 'b h t d -> b t (h d)'))
        return attended


class TokenCoder(nn.Module):
    """From a signal to tokens and back: of an image one per place, of a series one per time step.

    Args:
        modality: What is known of it.
        steps: Length of the window of a series.
        width: Numbers in a token.
    """

    def __init__(self, modality: Modality, steps: int, width: int) -> None:
        """Build encoder and mirrored decoder."""
        super().__init__()
        self.image, channels = modality.size is not None, len(modality.channels)
        if modality.size is None:
            self.places: tuple[int, ...] = (steps,)
            widths: tuple[int, ...] = SERIES_WIDTHS
            self.encoder, self.decoder = _dense(channels, *widths), _dense(*widths[::-1], channels)
        else:
            halvings = max(1, min(len(IMAGE_WIDTHS), (min(modality.size) // 8).bit_length() - 1))
            self.places = tuple(side // 2**halvings for side in modality.size)
            widths = IMAGE_WIDTHS[-halvings:]
            self.encoder = _halving(channels, *widths)
            self.decoder = _doubling(*widths[::-1], channels)
        self.into, self.out = nn.Linear(widths[-1], width), nn.Linear(width, widths[-1])
        self.place = nn.Parameter(0.02 * torch.randn(self.count, width))

    @property
    def count(self) -> int:
        """Number of tokens."""
        return torch.Size(self.places).numel()

    def encode(self, signal: Tensor) -> Tensor:
        """Tokens (batch, token, width)."""
        if self.image:
            hidden = self.encoder(signal).flatten(2).transpose(1, 2)
        else:
            hidden = self.encoder(signal.transpose(1, 2))
        tokens: Tensor = self.into(hidden) + self.place
        return tokens

    def decode(self, tokens: Tensor) -> Tensor:
        """The signal, shaped as it came."""
        hidden = self.out(tokens)
        if self.image:
            hidden = hidden.transpose(1, 2).reshape(len(hidden), -1, *self.places)
            image: Tensor = self.decoder(hidden)
            return image
        series: Tensor = self.decoder(hidden).transpose(1, 2)
        return series

    def faulty(self, mask: Tensor) -> Tensor:
        """(batch, token) float, 1 where a (batch, channel, place ...) mask touches the token."""
        anywhere = mask.float().amax(dim=1, keepdim=True)
        pool = functional.adaptive_max_pool2d if self.image else functional.adaptive_max_pool1d
        touched: Tensor = pool(anywhere, self.places)
        return touched.flatten(1)


class ResidualAttentionBlock(ComputeBlock):
    """Tokens that differ from what attention makes of them are mixed with it (MMRCA).

    Sizes, score, gate and losses as in the code that Altinses and Schwung published for
    multimodal latent repair (github.com/Diyarino/robust-multimodal-latent-repair): encoders and
    decoders of its own; score β (|token| / |attended| - running mean), α = sigmoid(score), mixed =
    (1 - α) token + (1 + α) attended; mean squared errors plus 0.01 x binary cross entropy of the
    token's fault. Of its five image layers as many are used as leave 8 tokens a side. Ours: a
    learned place for each token, a learned β, no dropout, and the largest score of its tokens as
    the score of a modality.

    Args:
        autoencoder: Stage 1; only asked for latents, which others measure.
        modalities: What is known of each modality.
        config: `corrector_width` is the width of a token, a multiple of 8; published: 288.
    """

    locates = False
    detector: TokenScores

    def __init__(
        self,
        autoencoder: Autoencoder,
        modalities: Mapping[str, Modality],
        config: BlockConfig | None = None,
    ) -> None:
        """Build the coders and the attention."""
        super().__init__(modalities)
        width = (config or BlockConfig(corrector_width=288)).corrector_width
        self.coders = nn.ModuleDict(
            {n: TokenCoder(m, autoencoder.steps.get(n, 1), width) for n, m in modalities.items()}
        )
        self.corrector = TokenAttention(width)
        self.detector = TokenScores([self._coder(n).count for n in modalities])

    def detect(
        self,
        autoencoder: Autoencoder,
        observed: Signals,
        clean: Tensor | None = None,
        known: SideInfo | None = None,
    ) -> Detection:
        """Score the tokens."""
        with self.frozen():
            latents = autoencoder.encode(observed)
        scaled = self.detector.scaled(_ratios(*self._tokens(observed)), clean)
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
        """Mix and decode; the maps are not used."""
        tokens, attended = self._tokens(observed)
        suspicion = self.detector.scaled(_ratios(tokens, attended)).sigmoid()[..., None]
        mixed = (1 - suspicion) * tokens + (1 + suspicion) * attended
        parts = zip(observed, torch.split(mixed, self.detector.counts, dim=1), strict=True)
        inferred = {n: self._coder(n).decode(part) for n, part in parts}
        with torch.no_grad():
            latents = autoencoder.encode(observed)
        return Correction(latents, inferred, {n: x.float() for n, x in inferred.items()}, {})

    def own_terms(self, autoencoder: Autoencoder, step_data: StepData) -> dict[str, Tensor]:
        """Binary cross entropy of the faulty tokens."""
        masks = [
            self._coder(n).faulty(m.expand_as(x[:, : m.shape[1]]))
            for (n, m), x in zip(step_data.masks.items(), step_data.observed.values(), strict=True)
        ]
        truth, logits = torch.cat(masks, dim=1), step_data.found.scaled.float()
        loss = functional.binary_cross_entropy_with_logits(logits, truth)
        return {'tokens': MASK_WEIGHT * loss}

    def _tokens(self, observed: Signals) -> tuple[Tensor, Tensor]:
        """Tokens of all modalities, and what attention makes of them."""
        tokens = torch.cat([self._coder(n).encode(x) for n, x in observed.items()], dim=1)
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
