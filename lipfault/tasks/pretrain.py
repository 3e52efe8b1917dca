"""Stage 1: the multimodal autoencoder on clean data."""

from typing import Any

import torch
from torch import Tensor

from lipfault.batch import Batch, Signals
from lipfault.metrics.recovery import error_per_sample, skill
from lipfault.models.autoencoder import Autoencoder, CoderConfig
from lipfault.tasks.base import CARD, BaseTask, OptimizerConfig, channels_last, mean_over
from lipfault.tasks.baseline import FIT_LIMIT, clean_signals, pca_floor, recording_data


class PretrainTask(BaseTask):
    """Trains the autoencoder to reconstruct clean windows of every modality.

    It starts from the patch PCA of the training windows and logs, beside the loss, the **skill** of
    each modality: 1 - MSE / variance.

    Args:
        description: What the DataModule says of its data; linked by the command line.
        coder: Sizes of the autoencoder.
        optimizer: Optimizer settings.
    """

    stage = 'pretrain'

    def __init__(
        self,
        description: dict[str, Any],
        coder: CoderConfig | None = None,
        optimizer: OptimizerConfig | None = None,
    ) -> None:
        """Build the autoencoder."""
        super().__init__(description, optimizer)
        self.coder_config = coder or CoderConfig()
        self.autoencoder = Autoencoder(
            self.description.modalities, self.description.steps, self.coder_config
        )
        channels_last(self.autoencoder)
        self.train_split = 'pretrain'
        self.test_results: dict[str, Any] = {}
        self._test_errors: dict[str, list[Tensor]] = {}
        self._test_spread: dict[str, list[Tensor]] = {}
        self._examples: dict[str, Any] = {}

    def card(self) -> dict[str, Any]:
        """Stage, description and sizes, from which the autoencoder can be rebuilt."""
        coder = {**vars(self.coder_config), 'image_widths': list(self.coder_config.image_widths)}
        return super().card() | {'coder': coder, 'train_split': self.train_split}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Check the card, and remember on which split the autoencoder was trained."""
        super().on_load_checkpoint(checkpoint)
        self.train_split = str(checkpoint[CARD]['train_split'])

    def setup(self, stage: str) -> None:
        """Take standardization and the linear paths from training windows, before a resume."""
        if stage == 'fit':
            datamodule = recording_data(self.trainer)
            self.train_split = datamodule.train_split
            for name, signals in clean_signals(datamodule, self.train_split, FIT_LIMIT).items():
                self.autoencoder.fit_start(name, signals)

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Mean squared error in units of the variance, averaged over the modalities."""
        errors = self._errors(batch)
        loss = mean_over(e.mean() for e in errors.values())
        self.log('train/loss', loss, prog_bar=True)
        return loss

    def validation_step(self, batch: Batch, batch_idx: int, dataloader_idx: int = 0) -> None:
        """Log the loss and the skill of each modality."""
        errors = {n: e.mean() for n, e in self._errors(batch).items()}
        values = {'loss': mean_over(errors.values())}
        values |= {f'skill/{n}': 1 - e for n, e in errors.items()}
        self.log_all(values, 'val', len(batch.sample_id))

    def on_test_epoch_start(self) -> None:
        """Forget earlier results."""
        self._test_errors = {n: [] for n in self.names}
        self._test_spread = {n: [] for n in self.names}
        self._examples = {}

    def test_step(self, batch: Batch, batch_idx: int, dataloader_idx: int = 0) -> None:
        """Collect the error of each window."""
        for name, errors in self._errors(batch).items():
            self._test_errors[name].append(errors.cpu())
            self._test_spread[name].append(self._spread(name, batch.clean[name]).cpu())
        if not self._examples:
            self._examples = self._first_examples(batch)

    def on_test_epoch_end(self) -> None:
        """Skill of each modality, next to a PCA with a latent of the same size."""
        metrics: dict[str, float] = {}
        for name in self.names:
            error, spread = (torch.cat(x[name]) for x in (self._test_errors, self._test_spread))
            metrics[f'skill/{name}'] = skill(error, spread)
        metrics |= pca_floor(self.autoencoder, recording_data(self.trainer), self.train_split)
        self.test_results = self.results(metrics, self._examples)
        self.log_dict(metrics)

    def predict_step(self, batch: Batch, batch_idx: int, dataloader_idx: int = 0) -> dict[str, Any]:
        """Sample ids, latents and reconstruction in physical units."""
        standardized = self.autoencoder.standardized(batch.observed)
        latents = self.autoencoder.encode(standardized)
        reconstruction = self.autoencoder.physical(self.autoencoder.decode(latents))
        return {
            'sample_id': batch.sample_id,
            'latents': latents,
            'reconstruction': reconstruction,
        }

    def _errors(self, batch: Batch) -> Signals:
        standardized = self.autoencoder.standardized(batch.clean)
        output = self.autoencoder(standardized)
        return {n: error_per_sample(output[n].float(), standardized[n]) for n in self.names}

    def _spread(self, name: str, signals: Tensor) -> Tensor:
        """Squared error of each window if the training mean is predicted."""
        return self.autoencoder.standardized({name: signals})[name].square().flatten(1).mean(dim=1)

    def _first_examples(self, batch: Batch, count: int = 6) -> dict[str, Any]:
        clean = {n: x[:count] for n, x in batch.clean.items()}
        output = self.autoencoder.physical(self.autoencoder(self.autoencoder.standardized(clean)))
        arrays: dict[str, Any] = {}
        for name in self.names:
            arrays[f'examples/{name}/clean'] = clean[name].float().cpu().numpy()
            arrays[f'examples/{name}/corrected'] = output[name].float().cpu().numpy()
        return arrays
