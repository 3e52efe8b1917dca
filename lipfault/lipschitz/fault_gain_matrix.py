"""The fault gain matrix of THEORY 7: how far a fault on one modality can move another.

For every faulty modality i and every read-out modality j three figures, each above the one before:
measured on injected faults, found by an adversary inside the sensors' range, and certified.
"""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn

from lipfault.errors import LipfaultError
from lipfault.lipschitz.gains.pairwise import pairwise_gains, summarize
from lipfault.lipschitz.propagation.composition import Source, propagate

Signals = dict[str, Tensor]
SignalMap = Callable[[Signals], Signals]


@dataclass(frozen=True)
class FaultGain:
    """One entry of the matrix, output units per unit of fault (Euclidean norms over the window).

    Args:
        mean: Mean over the injected faults.
        p95: 95th percentile over the injected faults.
        measured: Largest of the injected faults.
        adversarial: Largest found by ascent inside the range, from below.
        certified: Bound for every fault inside the range, from above.
        faults: Number of injected faults.
    """

    mean: float
    p95: float
    measured: float
    adversarial: float
    certified: float
    faults: int

    def to_dict(self) -> dict[str, Any]:
        """Plain types."""
        return asdict(self)


@dataclass(frozen=True)
class Box:
    """Range of every modality's signal, shaped (1, ...).

    Args:
        low: Smallest values.
        high: Largest values.
    """

    low: Signals
    high: Signals

    def including(self, *signals: Signals) -> 'Box':
        """The box grown so that it holds these signals (sample, ...)."""
        low = {n: _extreme(torch.minimum, b, [s[n] for s in signals]) for n, b in self.low.items()}
        high = {
            n: _extreme(torch.maximum, b, [s[n] for s in signals]) for n, b in self.high.items()
        }
        return Box(low, high)


def certify(path: SignalMap, box: Box, module: nn.Module | None = None) -> Any:  # noqa: ANN401
    """Outputs of a path as `BoundedTensor` tensors over a box: certified gains and intervals.

    Args:
        path: From signals to signals, in evaluation mode.
        box: Range of the signals.
        module: Module whose parts are named in errors.
    """
    sources = {n: Source(box.low[n], box.high[n]) for n in box.low}
    return propagate(path, sources, module)


def measure(path: SignalMap, clean: Signals, faulty: Signals, source: str) -> dict[str, Tensor]:
    """Gain of each injected fault on one modality, for every output: (sample,) each.

    Args:
        path: From signals to signals.
        clean: (sample, ...) signals without fault.
        faulty: The same with a fault on `source` alone.
        source: The faulty modality.
    """
    with torch.no_grad():
        before, after = path(clean), path(clean | {source: faulty[source]})
    return {n: pairwise_gains(clean[source], faulty[source], before[n], after[n]) for n in before}


def attack(
    path: SignalMap,
    clean: Signals,
    faulty: Signals,
    source: str,
    output: str,
    box: Box,
    steps: int = 20,
    rate: float = 0.2,
) -> tuple[float, Tensor]:
    """Largest gain that ascent on the faults finds inside the box, from below.

    Args:
        path: From signals to signals, differentiable.
        clean: (sample, ...) signals without fault.
        faulty: Where to start: the worst injected faults, inside the box.
        source: The faulty modality.
        output: The modality that is read out.
        box: Range of the signals.
        steps: Ascent steps.
        rate: Size of a step relative to the fault.

    Returns:
        The gain, and the faulty signals (sample, ...) of the last best step.
    """
    signal = faulty[source].clone()
    best, found = signal.new_full((len(signal),), -torch.inf, dtype=torch.float64), signal.clone()
    with torch.no_grad():
        before = path(clean)[output]
    for _ in range(steps):
        with torch.enable_grad():
            point = signal.detach().requires_grad_()
            moved = path(clean | {source: point})[output]
            gains = pairwise_gains(clean[source], point, before, moved)
            (slope,) = torch.autograd.grad(
                gains.nan_to_num().sum(), point, allow_unused=True, materialize_grads=True
            )
        gains = gains.detach().nan_to_num()
        better = gains > best
        best = torch.where(better, gains, best)
        found = torch.where(_column(better, signal), signal, found)
        size = (signal - clean[source]).flatten(1).norm(dim=1)
        step = rate * size / slope.flatten(1).norm(dim=1).clamp_min(1e-30)
        signal = torch.clamp(
            signal + _column(step, signal) * slope, box.low[source], box.high[source]
        )
    return float(best.max()), found


def entry(gains: Tensor, adversarial: float, certified: float, names: tuple[str, str]) -> FaultGain:
    """Put an entry together and check that measured ≤ adversarial ≤ certified.

    Args:
        gains: (sample,) measured gains.
        adversarial: From `attack`, started from the worst of the measured.
        certified: From `certify`.
        names: Faulty and read-out modality, for the error.

    Raises:
        LipfaultError: If the order is violated: then a figure is wrong, and none may be shown.
    """
    summary = summarize(gains)
    found = max(adversarial, summary.largest)
    if found > certified * (1 + 1e-4):
        raise LipfaultError(
            f'fault gain {names[0]} -> {names[1]}: {found:.6g} was found, but at most '
            f'{certified:.6g} is certified; the path must be in evaluation mode and in float32'
        )
    return FaultGain(summary.mean, summary.p95, summary.largest, found, certified, summary.pairs)


def worst(gains: Mapping[str, Tensor], output: str, count: int) -> Tensor:
    """Indices of the faults with the largest gain on one output."""
    order = gains[output].nan_to_num(nan=-1.0).argsort(descending=True)
    return order[:count]


def _extreme(
    pick: Callable[[Tensor, Tensor], Tensor], bound: Tensor, parts: list[Tensor]
) -> Tensor:
    reduce = torch.amin if pick is torch.minimum else torch.amax
    for part in parts:
        bound = pick(bound, reduce(part, dim=0, keepdim=True))
    return bound


def _column(values: Tensor, like: Tensor) -> Tensor:
    shaped = values.reshape(-1, *[1] * (like.ndim - 1))
    return shaped if shaped.dtype == torch.bool else shaped.to(like.dtype)
