"""Stage 1: the multimodal autoencoder on clean data."""

from typing import Any

from lightning.pytorch.utilities import rank_zero_info
from torch import Tensor

from lipfault.batch import Batch
from lipfault.faults.presence import split_missing
from lipfault.metrics.recovery import error_per_sample, skill
from lipfault.modality import Signals
from lipfault.models.autoencoder.autoencoder import Autoencoder
from lipfault.models.autoencoder.sizes import CoderConfig, sizes_in_words
from lipfault.models.relations.relations import Relations, RelationsConfig
from lipfault.runs.checkpoints import CARD
from lipfault.tasks.base import (
    BaseTask,
    OptimizerConfig,
    channels_last,
    log_changed_ranges,
    mean_over,
)
from lipfault.tasks.card import readable
from lipfault.tasks.clean_windows import (
    FIT_LIMIT,
    clean_signals,
    pca_floor,
    recording_data,
    warn_of_training_episodes,
)
from lipfault.tasks.distributed import joined
from lipfault.tasks.divergence import require_finite_loss
from lipfault.tasks.examples import clean_examples
from lipfault.tasks.warm_start import WarmStart, load_warm


class PretrainTask(BaseTask):
    """Trains the autoencoder to reconstruct clean windows of every modality.

    The relations between the sensors are fitted beside it, without influence on it; the compute
    block of stage 2 uses their residuals. The autoencoder starts from the patch PCA of the training
    windows. The **skill** of each modality, 1 - MSE / variance, is logged beside the loss.

    Args:
        description: Description of the data, linked by the command line.
        coder: Sizes of the autoencoder.
        relations: Sizes of the relations between channels and between modalities.
        optimizer: Optimizer settings.
        warm_start: Checkpoint or run folder of stage 1 on other data; coders and predictors that
            fit by name and shape start from its weights.
    """

    stage = 'pretrain'

    def __init__(
        self,
        description: dict[str, Any],
        coder: CoderConfig | None = None,
        relations: RelationsConfig | None = None,
        optimizer: OptimizerConfig | None = None,
        warm_start: str | None = None,
    ) -> None:
        """Build the autoencoder and the relations."""
        super().__init__(description, optimizer)
        self.coder_config = coder or CoderConfig()
        self.autoencoder = Autoencoder(
            self.description.modalities, self.description.steps, self.coder_config
        )
        self.relations_config = relations or RelationsConfig()
        self.relations = Relations(
            self.autoencoder, self.description.modalities, self.relations_config
        )
        channels_last(self.autoencoder)
        self._warm = WarmStart() if warm_start is None else load_warm(self, warm_start, self.stage)
        self.train_split = 'pretrain'
        self.train_episodes: list[str] = []
        self.test_results: dict[str, Any] = {}
        self._collected: list[Signals] = []
        self._examples: dict[str, Any] = {}

    def card(self) -> dict[str, Any]:
        """Describe the task in plain types.

        Returns:
            Stage, description and sizes, from which the autoencoder can be rebuilt.
        """
        widths = self.coder_config.image_widths
        coder = {**vars(self.coder_config), 'image_widths': widths and list(widths)}
        relations = {**vars(self.relations_config), 'patches': list(self.relations_config.patches)}
        return super().card() | {
            'coder': coder,
            'relations': relations,
            'train_split': self.train_split,
            'train_episodes': list(self.train_episodes),
        }

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Check the card, and read the episodes on which the autoencoder was trained.

        Args:
            checkpoint: The checkpoint.
        """
        super().on_load_checkpoint(checkpoint)
        log_changed_ranges(checkpoint[CARD], self.description.to_dict(), 'the checkpoint')
        with readable('card of the checkpoint'):
            self.train_split = str(checkpoint[CARD]['train_split'])
            self.train_episodes = list(map(str, checkpoint[CARD].get('train_episodes', [])))

    def sizes_in_words(self) -> list[str]:
        """State the sizes of the coders.

        Returns:
            One line for each modality.
        """
        return sizes_in_words(
            self.description.modalities, self.description.steps, self.coder_config
        )

    def check_settings(self) -> None:
        """Accept all settings: `setup` logs a learning rate for a modality that the data lack."""

    def setup(self, stage: str) -> None:
        """Fit the closed-form parts on training windows, before a resume.

        Args:
            stage: `fit`, `validate`, `test` or `predict`.
        """
        if stage != 'fit':
            return
        for pattern in self.unmatched():
            rank_zero_info(f'optimizer.lr_scale: {self.unmatched_message(pattern)}')
        if self._warm.message:
            rank_zero_info(self._warm.message)
        datamodule = recording_data(self.trainer)
        self.train_split = datamodule.train_split
        self.train_episodes = list(datamodule.split_ids[self.train_split])
        windows = clean_signals(datamodule, self.train_split, FIT_LIMIT)
        for name, modality in self.description.modalities.items():
            warm = f'autoencoder.coders.{name}' in self._warm.parts
            self.autoencoder.fit_start(name, windows[name], keep_coder=warm)
            standardized = self.autoencoder.standardized({name: windows.pop(name)})[name]
            self.relations.fit_start(name, standardized, self.autoencoder.noise(name, modality))

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Compute the mean squared error in units of the variance, averaged over the modalities.

        Args:
            batch: A batch of clean windows.
            batch_idx: Place in the epoch.

        Returns:
            Scalar, with the error of the relations.
        """
        standardized, latents, output = self._reconstructed(batch)
        loss = mean_over((output[n].float() - x).square().mean() for n, x in standardized.items())
        related = self.relations.error(self.autoencoder, standardized, latents)
        self.log('train/loss', loss, prog_bar=True)
        self.log('train/loss_relations', related)
        return loss + related

    def on_validation_epoch_start(self) -> None:
        """Discard earlier results."""
        self._collected = []

    def validation_step(self, batch: Batch, batch_idx: int, dataloader_idx: int = 0) -> None:
        """Collect the loss and the skill of each modality, means over the batch.

        Args:
            batch: A batch of clean windows.
            batch_idx: Without effect.
            dataloader_idx: Without effect: there is one loader.
        """
        standardized, latents, output = self._reconstructed(batch)
        errors = {n: (output[n].float() - x).square().mean() for n, x in standardized.items()}
        related = self.relations.error(self.autoencoder, standardized, latents)
        values = {'loss': mean_over(errors.values()), 'loss_relations': related}
        values |= {f'skill/{n}': 1 - e for n, e in errors.items()}
        rows = len(batch.sample_id)
        collected = {k: v.detach().cpu().expand(rows) for k, v in values.items()}
        self._collected.append(collected | {'sample_id': batch.sample_id.cpu()})

    def on_validation_epoch_end(self) -> None:
        """Log the means over all windows, each counted once.

        Raises:
            LipfaultError: If the loss is not finite.
        """
        values = joined(self._collected)
        means = {k: v.double().mean() for k, v in values.items() if k != 'sample_id'}
        require_finite_loss(means['loss'] + means['loss_relations'], 'val/loss')
        self.log_dict({f'val/{k}': v.float() for k, v in means.items()})

    def on_test_epoch_start(self) -> None:
        """Discard earlier results."""
        self._collected = []
        self._examples = {}
        warn_of_training_episodes(self.train_episodes, recording_data(self.trainer), 'test')

    def test_step(self, batch: Batch, batch_idx: int, dataloader_idx: int = 0) -> None:
        """Collect the error of each window.

        Args:
            batch: A batch of clean windows; the first one gives the examples.
            batch_idx: Without effect.
            dataloader_idx: Without effect: there is one loader.
        """
        values = {'sample_id': batch.sample_id}
        for name, errors in self._errors(batch).items():
            values |= {f'{name}/error': errors, f'{name}/spread': self._spread(name, batch)}
        self._collected.append({k: v.cpu() for k, v in values.items()})
        if not self._examples:
            self._examples = clean_examples(self.autoencoder, batch)

    def on_test_epoch_end(self) -> None:
        """Compute the skill of each modality, beside a PCA with a latent of the same size."""
        values = joined(self._collected)
        metrics = {
            f'skill/{n}': skill(values[f'{n}/error'], values[f'{n}/spread']) for n in self.names
        }
        metrics |= pca_floor(self.autoencoder, recording_data(self.trainer), self.train_split)
        self.test_results = self.results(metrics, self._examples)
        self.log_dict(metrics)

    def predict_step(self, batch: Batch, batch_idx: int, dataloader_idx: int = 0) -> dict[str, Any]:
        """Encode and reconstruct a batch.

        Args:
            batch: A batch, of which the observed signals are encoded.
            batch_idx: Without effect.
            dataloader_idx: Without effect.

        Returns:
            Sample ids (batch,), latents, and the reconstruction in physical units.
        """
        finite, _ = split_missing(batch.observed, self.description.modalities)
        latents = self.autoencoder.encode(self.autoencoder.standardized(finite))
        reconstruction = self.autoencoder.physical(self.autoencoder.decode(latents))
        return {
            'sample_id': batch.sample_id,
            'latents': latents,
            'reconstruction': reconstruction,
        }

    def _reconstructed(self, batch: Batch) -> tuple[Signals, Signals, Signals]:
        """Clean signals, standardized, their latents, and the reconstruction."""
        standardized = self.autoencoder.standardized(batch.clean)
        latents = self.autoencoder.encode(standardized)
        return standardized, latents, self.autoencoder.decode(latents)

    def _errors(self, batch: Batch) -> Signals:
        """(batch,) mean squared error of the reconstruction, by modality."""
        standardized, _, output = self._reconstructed(batch)
        return {n: error_per_sample(output[n].float(), standardized[n]) for n in self.names}

    def _spread(self, name: str, batch: Batch) -> Tensor:
        """(batch,) mean squared error of the training mean as a prediction."""
        standardized = self.autoencoder.standardized({name: batch.clean[name]})[name]
        return standardized.square().flatten(1).mean(dim=1)
