"""Stage 1: the multimodal autoencoder on clean data."""

from typing import Any

from lightning.pytorch.utilities import rank_zero_info
from torch import Tensor

from lipfault.batch import Batch, Signals
from lipfault.faults.presence import split_missing
from lipfault.metrics.recovery import error_per_sample, skill
from lipfault.models.autoencoder.autoencoder import Autoencoder, CoderConfig
from lipfault.models.relations.relations import Relations, RelationsConfig
from lipfault.runs.checkpoints import CARD
from lipfault.tasks.base import BaseTask, OptimizerConfig, channels_last, mean_over, tell_ranges
from lipfault.tasks.clean_windows import (
    FIT_LIMIT,
    clean_signals,
    pca_floor,
    recording_data,
    tell_known_episodes,
)
from lipfault.tasks.distributed import joined
from lipfault.tasks.examples import clean_examples


class PretrainTask(BaseTask):
    """Trains the autoencoder to reconstruct clean windows of every modality.

    Beside it, without influence on it, it learns how the sensors are related: what the compute
    block of stage 2 compares with. The autoencoder starts from the patch PCA of the training
    windows. Logged is, beside the loss, the **skill** of each modality: 1 - MSE / variance.

    Args:
        description: What the DataModule says of its data; linked by the command line.
        coder: Sizes of the autoencoder.
        relations: Sizes of the relations between channels and between modalities.
        optimizer: Optimizer settings.
    """

    stage = 'pretrain'

    def __init__(
        self,
        description: dict[str, Any],
        coder: CoderConfig | None = None,
        relations: RelationsConfig | None = None,
        optimizer: OptimizerConfig | None = None,
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
        self.train_split = 'pretrain'
        self.train_episodes: list[str] = []
        self.test_results: dict[str, Any] = {}
        self._collected: list[Signals] = []
        self._examples: dict[str, Any] = {}

    def card(self) -> dict[str, Any]:
        """Stage, description and sizes, from which the autoencoder can be rebuilt."""
        coder = {**vars(self.coder_config), 'image_widths': list(self.coder_config.image_widths)}
        relations = {**vars(self.relations_config), 'patches': list(self.relations_config.patches)}
        return super().card() | {
            'coder': coder,
            'relations': relations,
            'train_split': self.train_split,
            'train_episodes': list(self.train_episodes),
        }

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Check the card, and remember on what the autoencoder was trained."""
        super().on_load_checkpoint(checkpoint)
        tell_ranges(checkpoint[CARD], self.description.to_dict(), 'the checkpoint')
        self.train_split = str(checkpoint[CARD]['train_split'])
        self.train_episodes = list(checkpoint[CARD].get('train_episodes', []))

    def check_settings(self) -> None:
        """Refuse nothing: a rate may be for a modality that these data lack; `setup` tells it."""

    def setup(self, stage: str) -> None:
        """Take what has a closed form from training windows, before a resume."""
        if stage != 'fit':
            return
        for pattern in self.unmatched():
            rank_zero_info(f'optimizer.lr_scale: {self.wording(pattern)}')
        datamodule = recording_data(self.trainer)
        self.train_split = datamodule.train_split
        self.train_episodes = list(datamodule.split_ids[self.train_split])
        windows = clean_signals(datamodule, self.train_split, FIT_LIMIT)
        for name, modality in self.description.modalities.items():
            self.autoencoder.fit_start(name, windows[name])
            standardized = self.autoencoder.standardized({name: windows.pop(name)})[name]
            self.relations.fit_start(name, standardized, self.autoencoder.noise(name, modality))

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Mean squared errors in units of the variance, averaged over the modalities."""
        standardized, latents, output = self._reconstructed(batch)
        loss = mean_over((output[n].float() - x).square().mean() for n, x in standardized.items())
        related = self.relations.error(self.autoencoder, standardized, latents)
        self.log('train/loss', loss, prog_bar=True)
        self.log('train/loss_relations', related)
        return loss + related

    def on_validation_epoch_start(self) -> None:
        """Forget earlier results."""
        self._collected = []

    def validation_step(self, batch: Batch, batch_idx: int, dataloader_idx: int = 0) -> None:
        """Collect the loss and the skill of each modality, means over the batch."""
        standardized, latents, output = self._reconstructed(batch)
        errors = {n: (output[n].float() - x).square().mean() for n, x in standardized.items()}
        related = self.relations.error(self.autoencoder, standardized, latents)
        values = {'loss': mean_over(errors.values()), 'loss_relations': related}
        values |= {f'skill/{n}': 1 - e for n, e in errors.items()}
        rows = len(batch.sample_id)
        collected = {k: v.detach().cpu().expand(rows) for k, v in values.items()}
        self._collected.append(collected | {'sample_id': batch.sample_id.cpu()})

    def on_validation_epoch_end(self) -> None:
        """Log the means over all windows, each counted once."""
        values = joined(self._collected)
        means = {k: v.double().mean() for k, v in values.items() if k != 'sample_id'}
        self.log_dict({f'val/{k}': v.float() for k, v in means.items()})

    def on_test_epoch_start(self) -> None:
        """Forget earlier results."""
        self._collected = []
        self._examples = {}
        tell_known_episodes(self.train_episodes, recording_data(self.trainer), 'test')

    def test_step(self, batch: Batch, batch_idx: int, dataloader_idx: int = 0) -> None:
        """Collect the error of each window."""
        values = {'sample_id': batch.sample_id}
        for name, errors in self._errors(batch).items():
            values |= {f'{name}/error': errors, f'{name}/spread': self._spread(name, batch)}
        self._collected.append({k: v.cpu() for k, v in values.items()})
        if not self._examples:
            self._examples = clean_examples(self.autoencoder, batch)

    def on_test_epoch_end(self) -> None:
        """Skill of each modality, next to a PCA with a latent of the same size."""
        values = joined(self._collected)
        metrics = {
            f'skill/{n}': skill(values[f'{n}/error'], values[f'{n}/spread']) for n in self.names
        }
        metrics |= pca_floor(self.autoencoder, recording_data(self.trainer), self.train_split)
        self.test_results = self.results(metrics, self._examples)
        self.log_dict(metrics)

    def predict_step(self, batch: Batch, batch_idx: int, dataloader_idx: int = 0) -> dict[str, Any]:
        """Sample ids, latents and reconstruction in physical units."""
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
        standardized, _, output = self._reconstructed(batch)
        return {n: error_per_sample(output[n].float(), standardized[n]) for n in self.names}

    def _spread(self, name: str, batch: Batch) -> Tensor:
        """Squared error of each window if the training mean is predicted."""
        standardized = self.autoencoder.standardized({name: batch.clean[name]})[name]
        return standardized.square().flatten(1).mean(dim=1)
