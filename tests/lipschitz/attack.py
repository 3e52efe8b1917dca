"""Attack on certified bounds: pairs of inputs, found by gradient ascent in float64, above them.

A case is a function with its own parameters and a box of inputs. Whatever the toolkit certifies for
it must hold for every pair that the ascent visits; a refusal (`LipfaultError`) certifies nothing.
"""

import copy
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from lipfault.errors import LipfaultError
from lipfault.lipschitz import Source, propagate
from lipfault.lipschitz.propagation.bounded_tensor import BoundedTensor, bounded_tensors

RELATIVE, ABSOLUTE = 1e-6, 1e-9
"""Slack for rounding of what is found: difference quotients over distances of 1e-4 and more."""


class Call(nn.Module):
    """Function of signals with tensors of its own, so that a copy in float64 can be made."""

    def __init__(self, function: Callable[..., Any], **tensors: Tensor | nn.Module):
        super().__init__()
        self.function, self.held = function, list(tensors)
        for name, value in tensors.items():
            if isinstance(value, nn.Module):
                self.add_module(f'_{name}', value)
            else:
                self.register_buffer(f'_{name}', value)

    def forward(self, signals: dict[str, Tensor]) -> Any:
        return self.function(*signals.values(), **{n: getattr(self, f'_{n}') for n in self.held})


@dataclass
class Case:
    """Module, shape of each input, and half width and center of the box around it."""

    module: nn.Module
    shapes: dict[str, tuple[int, ...]]
    half: float = 1.0
    center: float = 0.0
    ranged: bool = True

    def sources(self, dtype: torch.dtype = torch.float64) -> dict[str, Source]:
        if not self.ranged:
            return {n: Source(shape=s) for n, s in self.shapes.items()}
        ends = [self.center - self.half, self.center + self.half]
        return {
            n: Source(*(torch.full(s, e, dtype=dtype) for e in ends))
            for n, s in self.shapes.items()
        }


@dataclass
class Verdict:
    """Outcome of one attack: `refused`, or the largest ratio of found to certified."""

    refused: bool
    ratio: float = 0.0
    details: list[str] = field(default_factory=list)


def attack_case(case: Case, seed: int, starts: int = 3, steps: int = 4) -> Verdict:
    """Certify a case, then search pairs of inputs whose gain exceeds the certificate."""
    try:
        outputs = propagate(case.module, case.sources(), case.module)
    except LipfaultError as error:
        return Verdict(True, details=[str(error)])
    bounds = list(bounded_tensors(outputs))
    wide = copy.deepcopy(case.module).double()
    generator = torch.Generator().manual_seed(seed)
    verdict = Verdict(False)
    for start in range(starts):
        x = {n: _point(case, s, start, generator) for n, s in case.shapes.items()}
        for source in case.shapes:
            index = int(torch.randint(max(1, len(bounds)), (), generator=generator))
            _ascend(case, wide, x, source, bounds, index, generator, steps, verdict)
    return verdict


def _point(case: Case, shape: tuple[int, ...], start: int, generator: torch.Generator) -> Tensor:
    """Draw a start: uniform, near the center, or at the corners of the box."""
    draw = 2 * torch.rand(shape, generator=generator, dtype=torch.float64) - 1
    scale = (1.0, 1e-2, 1.0)[start % 3]
    return case.center + case.half * (draw.sign() if start % 3 == 2 else scale * draw)


def _ascend(case, wide, x, source, bounds, index, generator, steps, verdict):
    """Move two inputs that differ in one source along the gradient of their gain."""
    low, high = case.center - case.half, case.center + case.half
    one = x[source].clone()
    step = torch.randn(one.shape, generator=generator, dtype=torch.float64)
    step = step / step.norm().clamp_min(1e-12) * case.half * 1e-3
    two = (one + step).clamp(low, high)
    for round_ in range(steps):
        a, b = (p.detach().requires_grad_() for p in (one, two))
        before, after = (_outputs(wide, x | {source: p}, bounds) for p in (a, b))
        distance = (b - a).norm()
        if float(distance.detach()) < 1e-5 * case.half:
            return
        for bound, y, z in zip(bounds, before, after, strict=True):
            _compare(verdict, bound, source, float(((z - y).norm() / distance).detach()))
            _inside(verdict, bound, y.detach())
            _inside(verdict, bound, z.detach())
        moved = after[index] - before[index]
        gain = moved.norm() / distance
        if not gain.requires_grad or round_ == steps - 1 or not float(gain.detach()) > 0:
            return
        slopes = torch.autograd.grad(gain, (a, b), allow_unused=True, materialize_grads=True)
        # The direction of steepest change first (a power iteration), then the place.
        (pulled,) = torch.autograd.grad(
            (_outputs(wide, x | {source: b}, bounds)[index] * moved.detach()).sum(), b,
            allow_unused=True, materialize_grads=True,
        )  # fmt: skip
        size = float(distance.detach())
        place = slopes[0] + slopes[1]
        shift = place / place.norm().clamp_min(1e-12) * case.half * 0.2 * (round_ % 2)
        direction = pulled / pulled.norm().clamp_min(1e-12) * max(size, 1e-4 * case.half)
        one = (a.detach() + shift).clamp(low, high)
        two = (one + direction).clamp(low, high)


def _outputs(module: nn.Module, signals: dict[str, Tensor], bounds: list[BoundedTensor]):
    found: list[Tensor] = []
    _collect(module(signals), found)
    assert len(found) == len(bounds)
    return found


def _collect(value: Any, found: list[Tensor]) -> None:
    if isinstance(value, Tensor):
        found.append(value)
    elif isinstance(value, list | tuple | dict):
        for part in value.values() if isinstance(value, dict) else value:
            _collect(part, found)


def _compare(verdict: Verdict, bound: BoundedTensor, source: str, found: float) -> None:
    certified = bound.gains[source]
    limit = certified * (1 + RELATIVE) + ABSOLUTE
    ratio = found / limit
    if not ratio <= verdict.ratio:
        verdict.ratio = ratio
    if not found <= limit:
        verdict.details.append(f'{source}: gain {found:.6g} found, {certified:.6g} certified')


def _inside(verdict: Verdict, bound: BoundedTensor, value: Tensor) -> None:
    if bound.low is None or bound.high is None:
        return
    slack = 1e-9 * (1 + value.abs())
    out = torch.maximum(bound.low - value, value - bound.high) - slack
    if value.shape != bound.low.shape or not bool((out <= 0).all()):
        verdict.ratio = max(verdict.ratio, 2.0)
        verdict.details.append('value outside of its interval')


class Draw(random.Random):
    """Random draws of a case, a function of the seed."""

    def __init__(self, seed: int):
        super().__init__(seed)
        self.generator = torch.Generator().manual_seed(seed)

    def tensor(self, *shape: int, dtype: torch.dtype | None = None) -> Tensor:
        """Draw a parameter of random size and, now and then, of another precision."""
        scale = 10 ** self.uniform(-1, 0.7)
        kind = dtype or self.choice([torch.float32] * 4 + [torch.float64])
        return (scale * torch.randn(shape, generator=self.generator, dtype=torch.float64)).to(kind)

    def size(self, low: int = 1, high: int = 6) -> int:
        return self.randint(low, high)
