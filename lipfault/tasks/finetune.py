"""Stage 2: the compute block, trained on faults injected on the fly."""

from dataclasses import asdict
from typing import Any, Self

import torch
from lightning.pytorch.utilities import rank_zero_info
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from lipfault.batch import Batch, Signals
from lipfault.errors import LipfaultError
from lipfault.faults.draws import Draws
from lipfault.lipschitz.modulation.modulation import modulate, penalty, set_progress
from lipfault.lipschitz.norms.layer_norms import InputSizes
from lipfault.models.blocks.base import BlockConfig, StepData
from lipfault.models.blocks.registry import build_block
from lipfault.tasks.base import BaseTask, OptimizerConfig, channels_last
from lipfault.tasks.clean_windows import (
    FIT_LIMIT,
    clean_signals,
    pca_floor,
    recording_data,
    tell_known_episodes,
)
from lipfault.tasks.distributed import joined
from lipfault.tasks.evaluation import (
    PerSample,
    measure_clean,
    measure_correction,
    measure_detection,
    measure_gains,
)
from lipfault.tasks.examples import fault_examples
from lipfault.tasks.finetune_config import FinetuneConfig, LossWeights, require_modules
from lipfault.tasks.inputs import fault_masks, observed_signals
from lipfault.tasks.pretrained import load_pretrained
from lipfault.tasks.random_masks import training_hiding
from lipfault.tasks.schedule import share_done
from lipfault.tasks.summary import (
    calibrate,
    summarize_clean,
    summarize_detection,
    summarize_faults,
    summarize_norms,
    summarize_skill,
    validation_loss,
)
from lipfault.tasks.terms import terms_of

SPLITS = ('seen', 'unseen')
"""Names of the test loaders: fault kinds of the training, and kinds held out."""


class FinetuneTask(BaseTask):
    """Trains the compute block on the latent of a frozen autoencoder.

    Args:
        description: What the DataModule says of its data; linked by the command line.
        pretrained: Checkpoint or run folder with the autoencoder of stage 1.
        block: Sizes of the compute block.
        losses: Weights of the objective.
        config: Threshold, modulation, clipping.
        optimizer: Optimizer settings.

    Raises:
        LipfaultError: If there is no pretrained autoencoder, or it was trained on other modalities.
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
    ) -> None:
        """Load the autoencoder, freeze it, and add the compute block."""
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
        channels_last(self.autoencoder)
        channels_last(self.block)
        if self.config.modulation:
            modulate(self.block, self.config.modulation)
        self.register_buffer('threshold', torch.tensor(float('nan')))
        self.test_results: dict[str, Any] = {}
        self._collected: dict[str, list[PerSample]] = {}
        self._examples: dict[str, Any] = {}
        self._sizes, self._watching = InputSizes(), list[RemovableHandle]()

    def setup(self, stage: str) -> None:
        """Take what contradiction is normal from clean training windows, before a resume."""
        datamodule = recording_data(self.trainer)
        tell_known_episodes(self.origin.get('train_episodes', ()), datamodule, stage)
        if stage == 'fit':
            self.check_settings()
            rank_zero_info(self._loaded)
            windows = clean_signals(datamodule, datamodule.train_split, FIT_LIMIT)
            self.block.fit_start(self.autoencoder, self.autoencoder.standardized(windows))

    def check_settings(self) -> None:
        """Refuse rates and clipping of parts that are not there."""
        super().check_settings()
        if self._trained():
            require_modules(self, self.config.clip)

    def card(self) -> dict[str, Any]:
        """Stage, description and sizes, from which both parts can be rebuilt."""
        return super().card() | self.origin | {'block': asdict(self.block_config)}

    def train(self, mode: bool = True) -> Self:
        """Training mode for the block only: the autoencoder stays as it is."""
        super().train(mode)
        self.autoencoder.eval()
        return self

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor | None:
        """Detect with the faults as they come, correct what is hidden, and weigh the terms.

        Nothing for a block without anything to train.
        """
        labels = _labels(batch)
        set_progress(self.block, share_done(self.trainer))
        clean = self.autoencoder.standardized(batch.clean)
        observed, known = observed_signals(self.autoencoder, batch, self.description.modalities)
        masks = fault_masks(labels)
        found = self.block.detect(self.autoencoder, observed, ~labels.faulty, known)
        hide = self._hide(batch, observed, masks, found.maps)
        corrected = self.block.correct(
            self.autoencoder, observed, hide, found.map_logits, blind=~labels.faulty
        )
        visible = ~labels.faulty | (labels.damage.amax(dim=1) >= self.config.least_damage)
        step_data = StepData(
            observed,
            clean,
            masks,
            labels.modality,
            visible,
            found,
            corrected,
            self._draws(batch, 'own'),
        )
        terms = terms_of(self.block, self.autoencoder, step_data, hide, self.losses)
        total = torch.stack([getattr(self.losses, key) * term for key, term in terms.items()]).sum()
        own = self.block.own_terms(self.autoencoder, step_data)
        total = total + self.losses.own * sum(own.values()) + penalty(self.block)
        self.log('train/loss', total, prog_bar=True)
        terms |= own
        self.log_step({f'loss_{key}': term.detach() for key, term in terms.items()}, 'train')
        return total if total.requires_grad else None

    def _draws(self, batch: Batch, name: str) -> Draws:
        """Random numbers of a training step."""
        return Draws.of(self.config.seed, self.current_epoch, batch.sample_id).stream(name)

    def _hide(self, batch: Batch, observed: Signals, masks: Signals, maps: Signals) -> Signals:
        """The true place in half of the faulty samples, the located one in the others."""
        if not self.block.locates:
            return {}
        draws = self._draws(batch, 'hide')
        faulty = _labels(batch).faulty
        told = training_hiding(self.block, observed, masks, faulty, draws)
        trust = faulty & (draws.uniform('trust') < 0.5)
        return {
            n: torch.where(trust.view(-1, *[1] * (m.dim() - 1)), m.detach(), told[n])
            for n, m in maps.items()
        }

    def configure_gradient_clipping(
        self,
        optimizer: torch.optim.Optimizer,
        gradient_clip_val: float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        """Clip each module named in `config.clip` by its own norm; log the norms before."""
        norms = {}
        for name, limit in self.config.clip.items():
            parameters = [p for p in self.get_submodule(name).parameters() if p.requires_grad]
            norms[name] = nn.utils.clip_grad_norm_(parameters, limit)
        if norms:
            self.log_step(norms, 'grad_norm')

    def on_validation_epoch_start(self) -> None:
        """Forget earlier results."""
        self._collected = {'seen': []}

    def validation_step(self, batch: Batch, batch_idx: int, dataloader_idx: int = 0) -> None:
        """Collect what is measured on each window."""
        self._collected['seen'].append(self._measure(batch))

    def on_validation_epoch_end(self) -> None:
        """Calibrate the threshold on the clean windows and log how well faults are met."""
        if self.trainer.sanity_checking:  # too few windows to calibrate on
            return
        seen = self._gathered('seen')
        self.threshold.fill_(calibrate(seen, self.config.false_alarm_rate))
        kinds = recording_data(self.trainer).kinds
        metrics = summarize_detection(seen, float(self.threshold), kinds)
        metrics = {f'detection/{k}': v for k, v in metrics.items()} | summarize_clean(seen)
        metrics |= summarize_faults(seen)
        self.log_dict({f'val/{k}': v for k, v in metrics.items()})
        self.log('val/loss', validation_loss(metrics), prog_bar=True)

    def on_test_epoch_start(self) -> None:
        """Forget earlier results; refuse to judge without a threshold."""
        if torch.isnan(self.threshold):
            raise LipfaultError(
                'the checkpoint has no threshold: stage 2 must have been validated once'
            )
        self._collected = {split: [] for split in SPLITS}
        self._examples = {}
        self._sizes = InputSizes()
        self._watching = [h for m in self._judged().values() for h in self._sizes.watch(m)]

    def _judged(self) -> dict[str, nn.Module]:
        """The modules whose norms are told."""
        return {'corrector': self.block.corrector, 'detector': self.block.detector}

    def test_step(self, batch: Batch, batch_idx: int, dataloader_idx: int = 0) -> None:
        """Collect what is measured on each window."""
        split = SPLITS[dataloader_idx]
        self._collected[split].append(self._measure(batch, beside_clean=split == 'seen'))
        if split == 'seen':
            fault_examples(
                self._examples, self.autoencoder, self.block, batch, self.description.modalities
            )

    def on_test_epoch_end(self) -> None:
        """All figures of the stage, and the arrays that the report draws."""
        for handle in self._watching:
            handle.remove()
        collected = {s: self._gathered(s) for s in SPLITS if self._collected[s]}
        threshold, kinds = float(self.threshold), recording_data(self.trainer).kinds
        metrics: dict[str, float] = {'detection/threshold': threshold}
        for split, values in collected.items():
            prefix = 'detection' if split == 'seen' else 'detection_unseen'
            found = summarize_detection(values, threshold, kinds)
            metrics |= {f'{prefix}/{k}': v for k, v in found.items()}
            metrics |= summarize_faults(values, split)
        metrics |= summarize_clean(collected['seen'])
        metrics |= summarize_skill(collected['seen'], self.names)
        metrics |= summarize_norms(self._judged(), self._sizes.found)
        metrics |= pca_floor(
            self.autoencoder, recording_data(self.trainer), self.origin['train_split']
        )
        arrays: dict[str, Any] = {'threshold': threshold, **self._examples}
        arrays |= {f'{s}/{k}': v.numpy() for s, vs in collected.items() for k, v in vs.items()}
        self.test_results = self.results(metrics, arrays)
        self.log_dict(metrics)

    def predict_step(self, batch: Batch, batch_idx: int, dataloader_idx: int = 0) -> dict[str, Any]:
        """Score, alarm, blamed modality, fault maps and cleaned signals in physical units."""
        observed, known = observed_signals(self.autoencoder, batch, self.description.modalities)
        found, corrected = self.block(self.autoencoder, observed, known=known)
        return {
            'sample_id': batch.sample_id,
            'score': found.score,
            'alarm': found.score > self.threshold,
            'modality': found.logits.argmax(dim=1),
            'maps': corrected.maps,
            'cleaned': self.autoencoder.physical(corrected.cleaned),
        }

    def _measure(self, batch: Batch, beside_clean: bool = True) -> PerSample:
        """Everything about each window, and about the clean one beside it."""
        autoencoder, block = self.autoencoder, self.block
        observed, known = observed_signals(autoencoder, batch, self.description.modalities)
        faulty = block(autoencoder, observed, known=known)
        values = measure_detection(faulty[0], _labels(batch))
        values |= measure_correction(autoencoder, block, batch, observed, faulty)
        if beside_clean:
            of_clean, clean = measure_clean(autoencoder, block, batch)
            values |= of_clean | measure_gains(autoencoder, faulty, clean)
        values['sample_id'] = batch.sample_id
        return {k: v.detach().cpu() for k, v in values.items()}

    def _gathered(self, split: str) -> PerSample:
        return joined(self._collected[split])


def _labels(batch: Batch) -> Any:  # noqa: ANN401
    if batch.labels is None:
        raise LipfaultError(
            'stage 2 needs faults: switch them on with data.faults (configs/faults/*.yaml)'
        )
    return batch.labels
