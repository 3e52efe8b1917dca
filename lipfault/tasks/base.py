"""Base of both stages: description of the data, optimizer, and card of the checkpoint."""

from abc import ABC
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

import lightning
import torch
from lightning.pytorch.utilities import rank_zero_info
from lightning.pytorch.utilities.types import OptimizerLRSchedulerConfig
from torch import Tensor, nn

from lipfault.domains import NonNegative, Positive, Share, validated
from lipfault.errors import LipfaultError
from lipfault.runs.checkpoints import CARD
from lipfault.runs.config_diff import config_diff
from lipfault.tasks.card import Description, readable
from lipfault.tasks.divergence import (
    first_not_finite,
    require_finite_loss,
    require_finite_weights,
)
from lipfault.tasks.schedule import continue_cycle, one_cycle, planned_steps


@validated
@dataclass
class OptimizerConfig:
    """AdamW with a one-cycle learning rate.

    Args:
        lr: Highest learning rate.
        weight_decay: Decoupled weight decay of matrices and kernels.
        warmup: Share of the steps in which the rate rises.
        lr_scale: Factor on the rate of the parameters whose name matches a glob pattern; the first
            pattern that matches decides. `<image>` and `<series>` stand for the name of any
            modality of that kind, as in `*.coders.<image>.*`.

    Reference:
        AdamW: Loshchilov and Hutter 2019, https://arxiv.org/abs/1711.05101; one cycle: Smith and
        Topin 2018, https://arxiv.org/abs/1708.07120.
    """

    lr: Positive = 1e-3
    weight_decay: NonNegative = 1e-4
    warmup: Share = 0.1
    lr_scale: dict[str, NonNegative] = field(default_factory=dict)


class BaseTask(lightning.LightningModule, ABC):
    """A stage of the training.

    Args:
        description: Description of the data by the DataModule, in plain types.
        optimizer: Optimizer settings.
    """

    stage: str

    def __init__(self, description: dict[str, Any], optimizer: OptimizerConfig | None) -> None:
        """Keep the description; the stages build the parts."""
        super().__init__()
        self.description = Description.from_dict(description)
        self.optimizer_config = optimizer or OptimizerConfig()
        self._resumed = False

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the modalities, in the order of the batch."""
        return tuple(self.description.modalities)

    def card(self) -> dict[str, Any]:
        """Describe the task in plain types.

        Returns:
            Stage and description, for the checkpoint.
        """
        return {'stage': self.stage, 'description': self.description.to_dict()}

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Write the card into the checkpoint.

        Args:
            checkpoint: The checkpoint, modified in place.

        Raises:
            LipfaultError: If a weight is not finite: a diverged training replaces no checkpoint.
        """
        require_finite_weights(
            self._finite(self.state_dict()), f'after {self.trainer.global_step} steps'
        )
        checkpoint[CARD] = self.card()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Check the card before any tensor is set.

        Args:
            checkpoint: The checkpoint.
        """
        self.check_checkpoint(checkpoint)
        self._resumed = True

    def check_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Check that a checkpoint is of the same stage, modalities and sizes.

        Args:
            checkpoint: The checkpoint.

        Raises:
            LipfaultError: If it is not, with the differences; or if a weight is not finite.
        """
        check_card(checkpoint.get(CARD), self.card(), 'the checkpoint')
        self._check_shapes(checkpoint)
        broken = first_not_finite(self._finite(checkpoint['state_dict']))
        if broken is not None:
            raise LipfaultError(
                f'the checkpoint does not hold finite numbers in {broken}: it is damaged, '
                'or of a training that has diverged'
            )

    def _require_finite(self) -> None:
        """Refuse weights of a training that has diverged."""
        weights = self._finite(self.state_dict())
        require_finite_weights(weights, f'after {self.trainer.global_step} steps')

    def _finite(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Select what must be finite: parameters and closed forms, not a block's own buffers."""
        trained = dict(self.named_parameters())
        closed = ('autoencoder.', 'relations.', 'block.relations.')
        return {n: x for n, x in tensors.items() if n in trained or n.startswith(closed)}

    def check_resume(self, checkpoint: dict[str, Any]) -> None:
        """Check that a training can be resumed from a checkpoint.

        Args:
            checkpoint: The checkpoint.

        Raises:
            LipfaultError: If it cannot, with the differences.
        """
        self.check_checkpoint(checkpoint)
        saved = (s['param_groups'] for s in checkpoint.get('optimizer_states', ()))
        found = [len(group['params']) for groups in saved for group in groups]
        if found != [len(group['params']) for group in self._parameter_groups()]:
            raise LipfaultError(
                'optimizer.weight_decay and optimizer.lr_scale sort the parameters into other '
                'groups than those of the checkpoint: go on with the settings of its run'
            )

    def _check_shapes(self, checkpoint: dict[str, Any]) -> None:
        """Compare names and shapes of all tensors."""
        found, wanted = (
            {name: _layout(value) for name, value in tensors.items()}
            for tensors in (checkpoint['state_dict'], self.state_dict())
        )
        # The buffers of a modulated convolution are empty until its first input.
        wanted |= {n: found[n] for n, layout in wanted.items() if 0 in layout and n in found}
        if found != wanted:
            names = sorted(n for n in found | wanted if found.get(n) != wanted.get(n))
            measured = (
                'description', 'train_split', 'train_episodes', 'calibration', 'clean_scores'
            )  # fmt: skip
            changed = config_diff(checkpoint[CARD], self.card(), measured)
            raise LipfaultError(
                f'the checkpoint is of a model of another configuration: '
                f'{"; ".join(changed) or "sizes are the same, names are not"}; '
                f'{len(names)} tensors do not fit, {names[0]} is the first'
            )

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig | None:
        """Build AdamW and a one-cycle learning rate over all steps.

        Returns:
            Optimizer and scheduler; None if the task has no trainable parameters.
        """
        config = self.optimizer_config
        groups = self._parameter_groups()
        if not groups:
            return None
        # Not fused: the fused kernel pairs elements by memory order, whatever the memory format of
        # the gradient, which is channels last for some kernels.
        optimizer = torch.optim.AdamW(groups, lr=config.lr)
        schedule = one_cycle(optimizer, planned_steps(self.trainer), config.warmup)
        return {
            'optimizer': optimizer,
            'lr_scheduler': {'scheduler': schedule, 'interval': 'step'},
        }

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:  # noqa: ANN401
        """Continue the learning rate of a resumed run, before its first step.

        Args:
            batch: Without effect.
            batch_idx: Place in the epoch.
        """
        if self._resumed:
            self._resumed = False
            continue_cycle(self.trainer, batch_idx, self.optimizer_config.warmup)

    def on_train_batch_end(self, outputs: Any, batch: Any, batch_idx: int) -> None:  # noqa: ANN401
        """Stop a training that has diverged, at the steps that are logged.

        Args:
            outputs: `loss` of the step; empty if nothing is trained.
            batch: Without effect.
            batch_idx: Without effect.

        Raises:
            LipfaultError: If the loss is not finite.
        """
        every: int = self.trainer.log_every_n_steps  # type: ignore[attr-defined]
        # Not at each step: reading the loss waits for the device.
        if outputs and every and self.trainer.global_step % every == 0:
            require_finite_loss(outputs['loss'], f'train/loss at step {self.trainer.global_step}')

    def on_train_end(self) -> None:
        """Check the weights of a training that saves no checkpoint.

        Raises:
            LipfaultError: If a weight is not finite.
        """
        require_finite_weights(
            self._finite(self.state_dict()), f'after {self.trainer.global_step} steps'
        )

    def check_settings(self) -> None:
        """Check that settings of the training refer to existing parameters.

        Raises:
            LipfaultError: If one does not, with the existing ones.
        """
        for pattern in self.unmatched():
            raise LipfaultError(f'optimizer.lr_scale: {self.unmatched_message(pattern)}')

    @property
    def false_alarm_rate(self) -> float | None:
        """False alarm rate to calibrate; None for a stage without alarms."""
        return None

    def sizes_in_words(self) -> list[str]:
        """State the sizes that were derived from the data.

        Returns:
            Lines for the log; none by default.
        """
        return []

    def unmatched(self) -> list[str]:
        """Find the patterns of `lr_scale` that match no trained parameter.

        Returns:
            Patterns; none if the task has no trainable parameters.
        """
        names = self._trained()
        if not names:
            return []
        # A part of the model that these modalities leave empty, such as the correctors of images.
        parts = [name for name, _ in self.named_modules()]
        absent = {'<image>', '<series>'} - {
            f'<{m.kind}>' for m in self.description.modalities.values()
        }
        return [
            pattern
            for pattern in self.optimizer_config.lr_scale
            if not any(self._matches(name, pattern) for name in names)
            and not any(fnmatchcase(part, pattern.removesuffix('.*')) for part in parts if part)
            and not any(kind in pattern for kind in absent)
        ]

    def unmatched_message(self, pattern: str) -> str:
        """Word the error of a pattern that matches no trained parameter.

        Args:
            pattern: The pattern.

        Returns:
            A message with the patterns that would match.
        """
        parts = dict.fromkeys('.'.join(name.split('.')[:-1][:3]) for name in self._trained())
        return (
            f'pattern {pattern!r} matches nothing that is trained; '
            f'there are {", ".join(f"{part}.*" for part in parts)}'
        )

    def _matches(self, name: str, pattern: str) -> bool:
        """Whether a parameter matches a pattern, by its name or by the kind of its modality."""
        kinds = {n: f'<{m.kind}>' for n, m in self.description.modalities.items()}
        by_kind = '.'.join(kinds.get(part, part) for part in name.split('.'))
        return fnmatchcase(name, pattern) or fnmatchcase(by_kind, pattern)

    def _trained(self) -> list[str]:
        return [name for name, p in self.named_parameters() if p.requires_grad]

    def _parameter_groups(self) -> list[dict[str, Any]]:
        """Trained parameters by learning rate and weight decay; vectors do not decay."""
        config, groups = self.optimizer_config, dict[tuple[float, float], list[Tensor]]()
        for name, parameter in self.named_parameters():
            if parameter.requires_grad:
                matching = (s for p, s in config.lr_scale.items() if self._matches(name, p))
                decay = config.weight_decay if parameter.dim() > 1 else 0.0
                groups.setdefault((next(matching, 1.0), decay), []).append(parameter)
        return [
            {'params': parameters, 'lr': config.lr * scale, 'weight_decay': decay}
            for (scale, decay), parameters in groups.items()
        ]

    def results(self, metrics: dict[str, float], arrays: dict[str, Any]) -> dict[str, Any]:
        """Collect the results of a test.

        Args:
            metrics: Metrics by key.
            arrays: Arrays of the report by key.

        Returns:
            Metrics, arrays, and the modalities.
        """
        return {
            'metrics': metrics,
            'arrays': arrays,
            'modalities': self.description.modalities,
        }

    def log_step(self, values: dict[str, Any], prefix: str) -> None:
        """Log values of a training step of process 0 under `prefix/key`.

        Values are not averaged over an epoch and the processes: only process 0 has a progress bar,
        and would wait at the end of an epoch for the others to take part in the average.

        Args:
            values: Scalars by key.
            prefix: First part of the metric name.
        """
        self.log_dict({f'{prefix}/{k}': v for k, v in values.items()}, on_step=True, on_epoch=False)


def _layout(value: Any) -> tuple[Any, ...]:  # noqa: ANN401
    """Shape of a tensor, and whether it holds real, complex or whole numbers."""
    if not isinstance(value, Tensor):
        return (type(value).__name__,)
    kind = 'real' if value.is_floating_point() else 'complex' if value.is_complex() else 'whole'
    return (*value.shape, kind)


def check_card(found: dict[str, Any] | None, wanted: dict[str, Any], where: str) -> None:
    """Check that a checkpoint is of the stage and the data of a task.

    Args:
        found: Card of the checkpoint; None if it has none.
        wanted: Card of the task.
        where: Name of the checkpoint in messages.

    Raises:
        LipfaultError: If there is no card, or stage, modalities or window differ.
    """
    if found is None:
        raise LipfaultError(f'{where} was not written by lipfault: it has no {CARD!r} entry')
    with readable(f'card of {where}'):
        _require_same(found, wanted, where)


def _require_same(found: dict[str, Any], wanted: dict[str, Any], where: str) -> None:
    if found['stage'] != wanted['stage']:
        raise LipfaultError(
            f'{where} is of stage {found["stage"]!r}, wanted one of stage {wanted["stage"]!r}'
        )
    have, want = found['description'], wanted['description']
    if list(have['modalities']) != list(want['modalities']):
        raise LipfaultError(
            f'{where} was trained with the modalities {list(have["modalities"])}, '
            f'the data have {list(want["modalities"])}'
        )
    for name, modality in want['modalities'].items():
        for key in ('kind', 'channels', 'units', 'size', 'rate_hz'):
            trained = have['modalities'][name].get(key, modality[key])
            if trained != modality[key]:
                raise LipfaultError(
                    f'{where} was trained with {name}.{key} = {trained}, '
                    f'the data have {modality[key]}'
                )
    if have['steps'] != want['steps']:
        raise LipfaultError(
            f'{where} was trained with windows of {have["steps"]} samples, '
            f'the data give {want["steps"]}; set data.window_s alike'
        )


def log_changed_ranges(found: dict[str, Any], wanted: dict[str, Any], where: str) -> None:
    """Log differences in physical range and noise between a checkpoint and the data.

    Args:
        found: Card of the checkpoint, checked by `check_card`.
        wanted: Description of the data, in plain types.
        where: Name of the checkpoint in messages.
    """
    have, want = (
        {
            name: {key: modality[key] for key in ('low', 'high', 'noise') if key in modality}
            for name, modality in modalities.items()
        }
        for modalities in (found['description']['modalities'], wanted['modalities'])
    )
    changed = config_diff(have, want)
    if changed:
        rank_zero_info(f'the data differ from those of {where}: {"; ".join(changed)}')


def channels_last(module: nn.Module) -> None:
    """Store the kernels of 2-d convolutions channels last, which is faster on CPUs and GPUs.

    Args:
        module: The module, modified in place.
    """
    module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def mean_over(values: Iterable[Tensor]) -> Tensor:
    """Average scalars.

    Args:
        values: Scalars.

    Returns:
        Scalar.
    """
    return torch.stack(list(values)).mean()
