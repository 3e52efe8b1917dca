"""Fault gain matrix: how far a fault on one modality can move the reconstruction of another.

For every faulty modality i and every reconstructed modality j three gains, each at least the one
before: measured on injected faults, found by an adversary inside the sensors' range, and
certified from above. See docs/theory.md, section 7.
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
    """Entry of the matrix, output units per unit of fault (Euclidean norms over the window).

    Args:
        mean: Mean over the injected faults.
        p95: 95th percentile over the injected faults.
        measured: Largest over the injected faults, exact for these.
        adversarial: Largest found by projected gradient ascent inside the range: an estimate of
            the worst case from below.
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
        """Return the fields as a dictionary of plain types."""
        return asdict(self)


@dataclass(frozen=True)
class Box:
    """Box constraint: range of every modality's signal.

    Args:
        low: Smallest values, (1, ...) by modality.
        high: Largest values, (1, ...) by modality.
    """

    low: Signals
    high: Signals

    def including(self, *signals: Signals) -> 'Box':
        """Return the smallest box that contains this box and the given signals.

        Args:
            signals: Signals by modality, (sample, ...).

        Returns:
            New box.
        """
        low = {n: _extreme(torch.minimum, b, [s[n] for s in signals]) for n, b in self.low.items()}
        high = {
            n: _extreme(torch.maximum, b, [s[n] for s in signals]) for n, b in self.high.items()
        }
        return Box(low, high)


def certify(path: SignalMap, box: Box, module: nn.Module | None = None) -> Any:  # noqa: ANN401
    """Certify the gains of a path over a box, from above.

    Args:
        path: Map from signals to signals, in evaluation mode.
        box: Range of the signals.
        module: Module whose submodules are named in error messages.

    Returns:
        Outputs of the path as `BoundedTensor`s with certified gains and intervals.

    Raises:
        LipfaultError: If an operation has no propagation rule.
    """
    sources = {n: Source(box.low[n], box.high[n]) for n in box.low}
    return propagate(path, sources, module)


def measure(path: SignalMap, clean: Signals, faulty: Signals, source: str) -> dict[str, Tensor]:
    """Measure the gain of each injected fault on one modality.

    Args:
        path: Map from signals to signals, in evaluation mode.
        clean: Signals without fault, (sample, ...) by modality.
        faulty: Signals with faults, of the same shapes; only the entry of `source` is used.
        source: Faulty modality.

    Returns:
        Gains by output modality, (sample,) in float64; NaN where the fault is zero.
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
    """Maximize the gain over the faults by projected gradient ascent: a bound from below.

    Args:
        path: Map from signals to signals, differentiable.
        clean: Signals without fault, (sample, ...) by modality.
        faulty: Start of the ascent: the worst injected faults, inside the box.
        source: Faulty modality.
        output: Modality whose reconstruction is read out.
        box: Range of the signals, onto which every step is projected.
        steps: Ascent steps.
        rate: Step size relative to the norm of the fault.

    Returns:
        Largest gain found, and the faulty signals of each sample's best step, (sample, ...).

    Reference:
        Projected gradient descent attack: Madry et al. 2018, https://arxiv.org/abs/1706.06083
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
            # A path that ignores the faulty modality has no gradient: zeros.
            (slope,) = torch.autograd.grad(
                gains.nan_to_num().sum(), point, allow_unused=True, materialize_grads=True
            )
        gains = gains.detach().nan_to_num()
        better = gains > best
        best = torch.where(better, gains, best)
        found = torch.where(_column(better, signal), signal, found)
        # Step of Euclidean length rate · ‖δ‖ along the gradient, per sample, then projection.
        size = (signal - clean[source]).flatten(1).norm(dim=1)
        step = rate * size / slope.flatten(1).norm(dim=1).clamp_min(1e-30)
        signal = torch.clamp(
            signal + _column(step, signal) * slope, box.low[source], box.high[source]
        )
    return float(best.max()), found


def entry(gains: Tensor, adversarial: float, certified: float, names: tuple[str, str]) -> FaultGain:
    """Assemble an entry and check that measured ≤ adversarial ≤ certified.

    Args:
        gains: Measured gains, (sample,).
        adversarial: Result of `attack`, started from the worst measured faults.
        certified: Result of `certify`.
        names: Faulty and reconstructed modality, for the error message.

    Returns:
        Entry of the matrix.

    Raises:
        LipfaultError: If the order is violated: one of the figures is then wrong.
    """
    summary = summarize(gains)
    found = max(adversarial, summary.largest)
    # 1e-4: rounding of the path in float32, where the bound is for exact arithmetic.
    if found > certified * (1 + 1e-4):
        raise LipfaultError(
            f'fault gain {names[0]} -> {names[1]}: {found:.6g} was found, but at most '
            f'{certified:.6g} is certified; the path must be in evaluation mode and in float32'
        )
    return FaultGain(summary.mean, summary.p95, summary.largest, found, certified, summary.pairs)


def worst(gains: Mapping[str, Tensor], output: str, count: int) -> Tensor:
    """Return the indices of the faults with the largest gain on one output.

    Args:
        gains: Gains by output modality, (sample,), see `measure`.
        output: Output modality.
        count: Number of faults.

    Returns:
        Indices in descending order of the gain, (count,) or all samples if there are fewer.
    """
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
    """Shape (sample,) to (sample, 1, ...); numbers take the dtype of `like`, masks keep theirs."""
    shaped = values.reshape(-1, *[1] * (like.ndim - 1))
    return shaped if shaped.dtype == torch.bool else shaped.to(like.dtype)
