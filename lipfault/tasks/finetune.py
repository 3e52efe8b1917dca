"""Stage 2: the compute block, trained on faults injected on the fly."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, Self

import torch
from lightning.pytorch.utilities import rank_zero_info
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from lipfault.batch import Batch
from lipfault.errors import LipfaultError
from lipfault.lipschitz.modulation.modulation import modulate, penalty, set_progress
from lipfault.lipschitz.norms.layer_norms import InputSizes
from lipfault.metrics.localization import MapCounts
from lipfault.models.blocks.interface.config import BlockConfig
from lipfault.models.blocks.registry import build_block
from lipfault.runs.checkpoints import CARD
from lipfault.tasks.base import BaseTask, OptimizerConfig, channels_last
from lipfault.tasks.card import readable
from lipfault.tasks.clean_windows import (
    FIT_LIMIT,
    clean_signals,
    pca_floor,
    recording_data,
    warn_of_training_episodes,
    with_places,
)
from lipfault.tasks.distributed import PerSample, joined
from lipfault.tasks.divergence import require_finite_loss
from lipfault.tasks.evaluation import measure
from lipfault.tasks.examples import fault_examples
from lipfault.tasks.finetune_config import (
    NO_CLIP_VAL,
    FinetuneConfig,
    LossWeights,
    modules_to_clip,
)
from lipfault.tasks.inputs import observed
from lipfault.tasks.prediction import faulty_channels, findings
from lipfault.tasks.pretrained import load_pretrained
from lipfault.tasks.schedule import share_done
from lipfault.tasks.step import make_step
from lipfault.tasks.summary import (
    calibrate,
    summarize_maps,
    summarize_test,
    summarize_validation,
)
from lipfault.tasks.terms import objective_terms, weighted_sum
from lipfault.tasks.warm_start import WarmStart, load_warm

CALIBRATION = ('episodes', 'confidence', 'supported_rate')
"""Fields of a `Calibration` that checkpoint and metrics keep."""

SPLITS = ('seen', 'unseen')
"""Names of the test loaders: fault kinds of the training, and kinds held out."""


class FinetuneTask(BaseTask):
    """Trains the compute block on the latent of a frozen autoencoder.

    Args:
        description: Description of the data, linked by the command line.
        pretrained: Checkpoint or run folder with the autoencoder of stage 1.
        block: Kind and sizes of the compute block.
        losses: Weights of the objective.
        config: Threshold, modulation, clipping.
        optimizer: Optimizer settings.
        warm_start: Checkpoint or run folder of stage 2 on other data; parts of the block that fit
            by name and shape start from its weights.

    Raises:
        LipfaultError: If there is no pretrained autoencoder, or it was trained on other modalities.

    Reference:
        Altinses and Schwung, stage 2, https://arxiv.org/abs/2603.25103.
    """

    stage = 'finetune'
    threshold: Tensor

    def __init__(
        self,
        description: dict[str, Any],
        pretrained: str | None = None,
        block: BlockConfig | None = None,
        losses: LossWeights | None = None,
        config: FinetuneConfig | None = None,
        optimizer: OptimizerConfig | None = None,
        warm_start: str | None = None,
    ) -> None:
        """Load the autoencoder, freeze it, and build the compute block."""
        super().__init__(description, optimizer)
        self.losses, self.config = losses or LossWeights(), config or FinetuneConfig()
        self.block_config = block or BlockConfig()
        self.autoencoder, self.block, self.origin, self._loaded = load_pretrained(
            pretrained,
            self.description,
            lambda autoencoder, relations: build_block(
                self.block_config, autoencoder, relations, self.description.modalities
            ),
        )
        self.autoencoder.requires_grad_(False)
        self._warm = WarmStart() if warm_start is None else load_warm(self, warm_start, self.stage)
        channels_last(self.autoencoder)
        channels_last(self.block)
        if self.config.modulation:
            modulate(self.block, self.config.modulation)
        self.register_buffer('threshold', torch.tensor(float('nan')))
        self.test_results: dict[str, Any] = {}
        self.calibration: dict[str, float] = {}
        self._clean_scores: list[float] = []
        self._collected: dict[str, list[PerSample]] = {}
        self._maps: dict[str, dict[str, MapCounts]] = {}
        self._examples: dict[str, Any] = {}
        self._sizes, self._watching = InputSizes(), list[RemovableHandle]()

    def setup(self, stage: str) -> None:
        """Fit the closed-form parts of the block on clean training windows, before a resume.

        Args:
            stage: `fit`, `validate`, `test` or `predict`.

        Raises:
            LipfaultError: If a setting has no effect.
        """
        datamodule = recording_data(self.trainer)
        warn_of_training_episodes(self.origin.get('train_episodes', ()), datamodule, stage)
        if stage == 'fit':
            self.check_settings()
            if self.trainer.gradient_clip_val is not None:
                raise LipfaultError(NO_CLIP_VAL)
            rank_zero_info(self._loaded)
            if self._warm.message:
                rank_zero_info(self._warm.message)
            windows = clean_signals(datamodule, datamodule.train_split, FIT_LIMIT)
            self.block.fit_start(self.autoencoder.standardized(windows))

    @property
    def false_alarm_rate(self) -> float:
        """False alarm rate to calibrate."""
        return self.config.false_alarm_rate

    def check_settings(self) -> None:
        """Check that learning rates and clipping name existing modules.

        Raises:
            LipfaultError: If one does not.
        """
        super().check_settings()
        if self._trained():
            modules_to_clip(self, self.config.clip)

    def card(self) -> dict[str, Any]:
        """Describe the task in plain types.

        Returns:
            Stage, description and sizes, from which autoencoder and block can be rebuilt.
        """
        own: dict[str, Any] = {
            'block': asdict(self.block_config),
            'calibration': self.calibration,
            'clean_scores': self._clean_scores,
        }
        return super().card() | self.origin | own

    def clean_scores(self) -> Tensor:
        """Return the scores of the clean calibration windows.

        Returns:
            (window,) float32, ascending; empty for a run that keeps none.
        """
        return torch.tensor(self._clean_scores, device=self.threshold.device)

    def read_calibration(self, card: Mapping[str, Any]) -> None:
        """Read the calibration from the card of a checkpoint.

        Args:
            card: The card.
        """
        with readable('calibration in the card of the checkpoint'):
            found = card.get('calibration', {})
            self.calibration = {key: float(found[key]) for key in CALIBRATION if found}
            self._clean_scores = [float(score) for score in card.get('clean_scores', [])]

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Check the card, and read what the calibration episodes support.

        Args:
            checkpoint: The checkpoint.
        """
        super().on_load_checkpoint(checkpoint)
        self.read_calibration(checkpoint[CARD])

    def train(self, mode: bool = True) -> Self:
        """Set the training mode of the block; the autoencoder stays in evaluation mode.

        Args:
            mode: Whether to train.

        Returns:
            The task.
        """
        super().train(mode)
        self.autoencoder.eval()
        return self

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor | None:
        """Compute the objective of a batch.

        Args:
            batch: A batch with injected faults.
            batch_idx: Place in the epoch.

        Returns:
            Scalar; None if the block has no trainable parameters.
        """
        try:
            total = self._objective(batch)
        except LipfaultError:
            # A layer whose weights are not finite has no norm: the cause goes first.
            self._require_finite()
            raise
        return total if total.requires_grad else None

    def _objective(self, batch: Batch) -> Tensor:
        """Compute and log the objective of a batch."""
        set_progress(self.block, share_done(self.trainer))
        modalities = self.description.modalities
        step = make_step(self.block, batch, modalities, self.config, self.current_epoch)
        terms = objective_terms(self.block, step, self.losses)
        total = weighted_sum(terms, self.losses)
        own = self.block.own_terms(step)
        total = total + self.losses.own * sum(own.values()) + penalty(self.block)
        self.log('train/loss', total, prog_bar=True)
        terms |= own
        self.log_step({f'loss_{key}': term.detach() for key, term in terms.items()}, 'train')
        return total

    def configure_gradient_clipping(
        self,
        optimizer: torch.optim.Optimizer,
        gradient_clip_val: float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        """Clip each group of modules of `config.clip` by its own norm; log the norms before.

        Args:
            optimizer: The optimizer.
            gradient_clip_val: Without effect; see `config.clip`.
            gradient_clip_algorithm: Without effect.
        """
        groups = modules_to_clip(self, self.config.clip)
        norms = {
            pattern.replace('*.', ''): nn.utils.clip_grad_norm_(group, self.config.clip[pattern])
            for pattern, group in groups.items()
        }
        if norms:
            self.log_step(norms, 'grad_norm')

    def on_validation_epoch_start(self) -> None:
        """Discard earlier results."""
        self._collected = {'seen': []}

    def validation_step(self, batch: Batch, batch_idx: int, dataloader_idx: int = 0) -> None:
        """Measure each window.

        Args:
            batch: A batch with injected faults.
            batch_idx: Place in the epoch.
            dataloader_idx: Index of the loader.
        """
        self._collected['seen'].append(self._measure(batch))

    def on_validation_epoch_end(self) -> None:
        """Calibrate the threshold on the clean windows, and log detection and correction.

        Raises:
            LipfaultError: If a score is not finite.
        """
        if self.trainer.sanity_checking:  # too few windows to calibrate on
            return
        data = recording_data(self.trainer)
        seen = with_places(joined(self._collected['seen']), data.dataset(data.val_split))
        require_finite_loss(seen['score_clean'].abs().max(), 'the largest score of a clean window')
        calibration = calibrate(seen, self.config.false_alarm_rate)
        self.threshold.fill_(calibration.threshold)
        self._clean_scores = seen['score_clean'].float().sort().values.tolist()
        if not self.calibration:  # the same statement at each validation
            rank_zero_info(calibration.statement())
        self.calibration = {key: float(getattr(calibration, key)) for key in CALIBRATION}
        metrics, loss = summarize_validation(seen, float(self.threshold), data.kinds)
        self.log_dict({f'val/{k}': v for k, v in metrics.items()})
        self.log('val/loss', loss, prog_bar=True)

    def on_test_epoch_start(self) -> None:
        """Discard earlier results.

        Raises:
            LipfaultError: If the checkpoint has no threshold.
        """
        if torch.isnan(self.threshold):
            raise LipfaultError(
                'the checkpoint has no threshold: stage 2 must have been validated once'
            )
        self._collected = {split: [] for split in SPLITS}
        kinds = len(recording_data(self.trainer).kinds)
        self._maps = {split: {n: MapCounts(kinds) for n in self.names} for split in SPLITS}
        self._examples = {}
        self._sizes = InputSizes()
        modules = self.block.monitored().values()
        self._watching = [h for m in modules for h in self._sizes.watch(m)]

    def test_step(self, batch: Batch, batch_idx: int, dataloader_idx: int = 0) -> None:
        """Measure each window, and keep a few as examples.

        Args:
            batch: A batch with injected faults.
            batch_idx: Place in the epoch.
            dataloader_idx: Index of the loader, see `SPLITS`.
        """
        split = SPLITS[dataloader_idx]
        is_seen = split == 'seen'
        self._collected[split].append(self._measure(batch, is_seen, self._maps[split]))
        if is_seen:
            fault_examples(self._examples, self.block, batch, self.description.modalities)

    def on_test_epoch_end(self) -> None:
        """Compute all metrics of the stage, and the arrays of the report."""
        for handle in self._watching:
            handle.remove()
        threshold, data = float(self.threshold), recording_data(self.trainer)
        windows = data.dataset(data.test_split)
        found = {s: joined(self._collected[s]) for s in SPLITS if self._collected[s]}
        collected = {s: with_places(values, windows) for s, values in found.items()}
        metrics = summarize_test(
            collected,
            threshold,
            data.kinds,
            self.names,
            self.block.monitored(),
            self._sizes.found,
            self.config.false_alarm_rate,
        )
        for split in collected:
            metrics |= summarize_maps(self._maps[split], data.kinds, split)
        metrics |= {f'calibration/{key}': value for key, value in self.calibration.items()}
        metrics |= pca_floor(self.autoencoder, data, self.origin['train_split'])
        arrays: dict[str, Any] = {'threshold': threshold, **self._examples}
        arrays |= {f'{s}/{k}': v.numpy() for s, vs in collected.items() for k, v in vs.items()}
        self.test_results = self.results(metrics, arrays)
        self.log_dict(metrics)

    def predict_step(self, batch: Batch, batch_idx: int, dataloader_idx: int = 0) -> dict[str, Any]:
        """Detect and correct a batch.

        Args:
            batch: A batch; its observed signals are used.
            batch_idx: Place in the epoch.
            dataloader_idx: Index of the loader.

        Returns:
            Sample ids, and scores, p-values, alarms and predicted modality of `Findings`, (batch,)
            each; share of missing values by modality; names of the faulty channels of each window;
            logits (batch, M); fault maps; and corrected signals in physical units.
        """
        observation = observed(self.autoencoder, batch, self.description.modalities)
        detection, correction = self.block(observation)
        modalities = self.description.modalities
        found = findings(detection, observation, self.names, self.threshold, self.clean_scores())
        return {
            'sample_id': batch.sample_id,
            'score': found.score,
            'p_value': found.p_value,
            'alarm': found.alarm,
            'modality': found.modality,
            'missing': found.missing,
            'channels': faulty_channels(found, correction, observation, modalities),
            'logits': detection.logits,
            'maps': correction.maps,
            'corrected': self.autoencoder.physical(correction.signals),
        }

    def _measure(
        self,
        batch: Batch,
        with_clean: bool = True,
        maps: Mapping[str, MapCounts] | None = None,
    ) -> PerSample:
        """Measure detection and correction of a batch, see `evaluation.measure`."""
        values = measure(self.block, batch, self.description.modalities, with_clean, maps)
        return {k: v.detach().cpu() for k, v in values.items()}
