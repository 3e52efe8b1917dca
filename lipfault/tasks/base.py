"""What both stages share: the description of the data, the optimizer, the checkpoint's card."""

from abc import ABC
from collections.abc import Iterable
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

import lightning
import torch
from lightning.pytorch.utilities import rank_zero_info
from lightning.pytorch.utilities.types import OptimizerLRSchedulerConfig
from torch import Tensor, nn

from lipfault.errors import LipfaultError
from lipfault.modality import Modality
from lipfault.runs.checkpoints import CARD
from lipfault.runs.config_diff import differences
from lipfault.tasks.schedule import one_cycle, planned_steps, settle_cycle


@dataclass
class Description:
    """What a task must know of the data.

    Args:
        modalities: What is known of each modality.
        steps: Length of the window of each series, in samples.
    """

    modalities: dict[str, Modality]
    steps: dict[str, int]

    def to_dict(self) -> dict[str, Any]:
        """Plain types only; `from_dict` is the inverse."""
        return {
            'modalities': {n: m.to_dict() for n, m in self.modalities.items()},
            'steps': dict(self.steps),
        }

    @classmethod
    def from_dict(cls, fields: dict[str, Any]) -> 'Description':
        """Rebuild a description from the plain types of `to_dict`."""
        modalities = {n: Modality.from_dict(m) for n, m in fields['modalities'].items()}
        return cls(modalities, {n: int(s) for n, s in fields['steps'].items()})


@dataclass
class OptimizerConfig:
    """AdamW with a one-cycle learning rate.

    Args:
        lr: Highest learning rate.
        weight_decay: Decoupled weight decay of matrices and kernels.
        warmup: Share of the steps in which the rate rises.
        lr_scale: Factor on the rate of the parameters whose name matches a glob pattern; the first
            pattern that matches decides.
    """

    lr: float = 1e-3
    weight_decay: float = 1e-4
    warmup: float = 0.1
    lr_scale: dict[str, float] = field(default_factory=dict)


class BaseTask(lightning.LightningModule, ABC):
    """A stage of the training.

    Args:
        description: What the DataModule says of its data, in plain types.
        optimizer: Optimizer settings.
    """

    stage: str

    def __init__(self, description: dict[str, Any], optimizer: OptimizerConfig | None) -> None:
        """Keep the description; parts are built by the stages."""
        super().__init__()
        self.description = Description.from_dict(description)
        self.optimizer_config = optimizer or OptimizerConfig()
        self._resumed = False

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the modalities, in the order of the batch."""
        return tuple(self.description.modalities)

    def card(self) -> dict[str, Any]:
        """What this task is, in plain types, for the checkpoint."""
        return {'stage': self.stage, 'description': self.description.to_dict()}

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Write the card into the checkpoint."""
        checkpoint[CARD] = self.card()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Check it before any tensor is set."""
        self.check_checkpoint(checkpoint)
        self._resumed = True

    def check_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Refuse a checkpoint of another stage, other modalities or sizes.

        Raises:
            LipfaultError: Naming what differs.
        """
        check_card(checkpoint.get(CARD), self.card(), 'the checkpoint')
        self._check_shapes(checkpoint)

    def check_resume(self, checkpoint: dict[str, Any]) -> None:
        """Refuse a checkpoint with which the training cannot go on.

        Raises:
            LipfaultError: Naming what differs.
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
        found, wanted = (
            {name: tuple(value.shape) for name, value in tensors.items()}
            for tensors in (checkpoint['state_dict'], self.state_dict())
        )
        # An empty tensor waits for its size: that of a modulated convolution for a first input.
        wanted |= {n: found[n] for n, shape in wanted.items() if 0 in shape and n in found}
        if found != wanted:
            names = sorted(n for n in found | wanted if found.get(n) != wanted.get(n))
            changed = differences(
                checkpoint[CARD], self.card(), ('description', 'train_split', 'train_episodes')
            )
            raise LipfaultError(
                f'the checkpoint is of a model of another configuration: '
                f'{"; ".join(changed) or "sizes are the same, names are not"}; '
                f'{len(names)} tensors do not fit, {names[0]} is the first'
            )

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig | None:
        """AdamW over what is trained, one cycle over all steps; none if nothing is."""
        config = self.optimizer_config
        groups = self._parameter_groups()
        if not groups:
            return None
        # Not fused: it pairs numbers by their place in memory, whatever the layout of the gradient.
        optimizer = torch.optim.AdamW(groups, lr=config.lr)
        schedule = one_cycle(optimizer, planned_steps(self.trainer), config.warmup)
        return {
            'optimizer': optimizer,
            'lr_scheduler': {'scheduler': schedule, 'interval': 'step'},
        }

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:  # noqa: ANN401
        """Before the first step of a resumed run, settle how the learning rate goes on."""
        if self._resumed:
            self._resumed = False
            settle_cycle(self.trainer, batch_idx, self.optimizer_config.warmup)

    def check_settings(self) -> None:
        """Refuse settings of the training that are for something that is not there.

        Raises:
            LipfaultError: Naming it, and what there is.
        """
        for pattern in self.unmatched():
            raise LipfaultError(f'optimizer.lr_scale: {self.wording(pattern)}')

    def unmatched(self) -> list[str]:
        """Patterns of `lr_scale` that match nothing; none if nothing is trained."""
        names = self._trained()
        patterns = self.optimizer_config.lr_scale if names else {}
        return [p for p in patterns if not any(fnmatchcase(name, p) for name in names)]

    def wording(self, pattern: str) -> str:
        """That a pattern matches nothing, and what it could match."""
        parts = dict.fromkeys('.'.join(name.split('.')[:-1][:3]) for name in self._trained())
        return (
            f'pattern {pattern!r} matches nothing that is trained; '
            f'there are {", ".join(f"{part}.*" for part in parts)}'
        )

    def _trained(self) -> list[str]:
        return [name for name, p in self.named_parameters() if p.requires_grad]

    def _parameter_groups(self) -> list[dict[str, Any]]:
        """What is trained, by learning rate and weight decay; vectors do not decay."""
        config, groups = self.optimizer_config, dict[tuple[float, float], list[Tensor]]()
        for name, parameter in self.named_parameters():
            if parameter.requires_grad:
                matching = (s for p, s in config.lr_scale.items() if fnmatchcase(name, p))
                decay = config.weight_decay if parameter.dim() > 1 else 0.0
                groups.setdefault((next(matching, 1.0), decay), []).append(parameter)
        return [
            {'params': parameters, 'lr': config.lr * scale, 'weight_decay': decay}
            for (scale, decay), parameters in groups.items()
        ]

    def results(self, metrics: dict[str, float], arrays: dict[str, Any]) -> dict[str, Any]:
        """What a test leaves behind: flat metrics, arrays, and the modalities they are of."""
        return {
            'metrics': metrics,
            'arrays': arrays,
            'modalities': self.description.modalities,
        }

    def log_step(self, values: dict[str, Any], prefix: str) -> None:
        """Log values of a training step under `prefix/key`, those of process 0.

        Nothing is averaged over an epoch and the processes here: only process 0 shows a progress
        bar, and would wait at the end of an epoch for the others to take part in the average.
        """
        self.log_dict({f'{prefix}/{k}': v for k, v in values.items()}, on_step=True, on_epoch=False)


def check_card(found: dict[str, Any] | None, wanted: dict[str, Any], where: str) -> None:
    """Compare the card of a checkpoint with what is wanted.

    Raises:
        LipfaultError: If there is no card, or stage, modalities or window differ.
    """
    if found is None:
        raise LipfaultError(f'{where} was not written by lipfault: it has no {CARD!r} entry')
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


def tell_ranges(found: dict[str, Any], wanted: dict[str, Any], where: str) -> None:
    """Say if physical ranges or noise of the sensors are not those of a card that fits otherwise.

    Args:
        found: Card of the checkpoint.
        wanted: Description of the data, in plain types.
        where: What the checkpoint is called.
    """
    have, want = (
        {
            name: {key: modality[key] for key in ('low', 'high', 'noise') if key in modality}
            for name, modality in modalities.items()
        }
        for modalities in (found['description']['modalities'], wanted['modalities'])
    )
    changed = differences(have, want)
    if changed:
        rank_zero_info(f'the data are not quite those of {where}: {"; ".join(changed)}')


def channels_last(module: nn.Module) -> None:
    """Store the kernels of 2-d convolutions channels last, which CPUs and GPUs compute faster."""
    module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def mean_over(values: Iterable[Tensor]) -> Tensor:
    """Mean of scalars."""
    return torch.stack(list(values)).mean()
