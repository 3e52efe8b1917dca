"""Benchmark of the Lipschitz toolkit beside its peers: `python bench/lipschitz.py`.

Prints a Markdown table. Every row is a ratio of CPU times of one thread, measured alternately in
one process; rows in which the toolkit is slower are kept.
"""

import argparse
import copy
import statistics
import time
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations
from torch.utils.benchmark import Timer

from lipfault.lipschitz.gains.jacobian import largest_gain
from lipfault.lipschitz.modulation.modulation import modulate
from lipfault.lipschitz.norms.krylov import SingularTriplet, lanczos, start_vector
from lipfault.lipschitz.norms.operators import DenseOperator, linear_operator

Run = Callable[[], object]


class Row(NamedTuple):
    """Comparison of two runs, with the goal for the ratio of their times."""

    what: str
    ours: Run
    peer: str
    theirs: Run
    goal: str


def seconds(runs: dict[str, Run], rounds: int) -> dict[str, float]:
    """Return the median CPU time of each run over rounds, measured alternately, in seconds."""
    found: dict[str, list[float]] = {name: [] for name in runs}
    timers = {
        n: Timer('run()', globals={'run': r}, timer=time.process_time) for n, r in runs.items()
    }
    for _ in range(rounds):
        for name, timer in timers.items():
            found[name].append(timer.blocked_autorange(min_run_time=0.15).median)
    return {name: statistics.median(times) for name, times in found.items()}


def norm_rows() -> list[Row]:
    """Compare spectral norms of a random 1024 x 1024 matrix."""
    weight = torch.randn(1024, 1024)
    operator = DenseOperator(weight)
    start = start_vector((1024,), weight)
    warm = lanczos(operator.apply, operator.adjoint, start, 60, 1e-6).right
    moved = DenseOperator(weight + 1e-3 * torch.randn_like(weight))

    def svd() -> Tensor:
        return torch.linalg.matrix_norm(weight, 2)

    def cold() -> object:
        return lanczos(operator.apply, operator.adjoint, start, 60, 2e-4)

    def tracked() -> object:
        return lanczos(moved.apply, moved.adjoint, warm, 2, 0)

    peer = 'torch.linalg.matrix_norm'
    return [
        Row('spectral norm 1024², cold, error below 0.1 %', cold, peer, svd, '10x faster'),
        Row('the same, warm after a small change', tracked, peer, svd, '100x faster'),
    ]


def convolution_rows() -> list[Row]:
    """Compare norms of a convolution, with its true padding."""
    layer = nn.Conv2d(16, 16, 3, padding=1, bias=False).requires_grad_(False)
    operator = linear_operator(layer, (8, 8))
    start = start_vector(operator.in_shape, operator.weight)

    def ours() -> SingularTriplet:
        return lanczos(operator.apply, operator.adjoint, start, 60, 2e-4)

    def explicit() -> Tensor:
        return torch.linalg.matrix_norm(operator.matrix(), 2)

    what = '3 x 3 convolution, 16 channels at 8 x 8, cold'
    rows = [Row(what, ours, 'explicit matrix and SVD', explicit, 'faster')]
    try:
        from deel.torchlip.normalizers import spectral_normalization
        from deel.torchlip.utils.lconv_norm import compute_lconv_coef
    except ImportError:
        return rows

    def reshaped() -> Tensor:
        sigma = spectral_normalization(layer.weight.flatten(1))[2]
        return sigma / compute_lconv_coef((3, 3), (16, 8, 8))

    norm = explicit()
    name = (
        f'deel-torchlip {installed("deel-torchlip")}, reshaped kernel and coefficient '
        f'({float(reshaped() / norm) - 1:+.0%}; ours {float(ours().sigma / norm) - 1:+.2%})'
    )
    return [*rows, Row(what, ours, name, reshaped, 'closer')]


def mlp() -> nn.Sequential:
    """Build the dense network of the comparison."""
    return nn.Sequential(
        nn.Linear(256, 256), nn.ReLU(), nn.Linear(256, 256), nn.ReLU(), nn.Linear(256, 128)
    )


def step_of(net: nn.Module, x: Tensor) -> Run:
    """Return a training step: forward, backward, and an in-place change of every weight."""
    parameters = [p for p in net.parameters() if p.requires_grad]

    def step() -> None:
        for parameter in parameters:
            parameter.grad = None
        net(x).square().mean().backward()
        with torch.no_grad():
            # Changes the content of the weight, so the power iteration runs at every step.
            for parameter in parameters:
                parameter.view(-1)[:1].neg_()

    return step


def modulation_rows() -> list[Row]:
    """Compare modulated layers, forward and backward, batch 128."""
    x, plain = torch.randn(128, 256), mlp()
    ours = copy.deepcopy(plain)
    modulate(ours, {'*': {'mode': 'cap', 'target': 0.9}})
    normed = copy.deepcopy(plain)
    for layer in normed:
        if isinstance(layer, nn.Linear):
            parametrizations.spectral_norm(layer)
    what = 'modulated MLP 256-256-256-128, forward and backward'
    rows = [
        Row(what, step_of(ours, x), 'plain layers', step_of(plain, x), 'at most 1.15x the time'),
        Row(what, step_of(ours, x), 'torch spectral_norm', step_of(normed, x), 'faster'),
    ]
    try:
        from deel.torchlip import SpectralLinear
    except ImportError:
        return rows
    peer = nn.Sequential(
        SpectralLinear(256, 256), nn.ReLU(), SpectralLinear(256, 256), nn.ReLU(),
        SpectralLinear(256, 128),
    )  # fmt: skip
    name = f'deel-torchlip {installed("deel-torchlip")} SpectralLinear'
    return [*rows, Row(what, step_of(ours, x), name, step_of(peer, x), 'faster')]


def corrector() -> nn.Sequential:
    """Build a dense network of the shape of the shipped corrector."""
    return nn.Sequential(
        nn.Linear(760, 768), nn.GELU(), nn.Linear(768, 768), nn.GELU(), nn.Linear(768, 656)
    )


def shipped_rows() -> list[Row]:
    """Compare modulation in the shape of the corrector, batch 64; the cap of 6 is inactive."""
    x, plain = torch.randn(64, 760), corrector()
    idle, bound = copy.deepcopy(plain), copy.deepcopy(plain)
    modulate(idle, {'*': {'mode': 'cap', 'target': 6.0}})
    modulate(bound, {'*': {'mode': 'pin', 'target': 1.0}})

    def half(net: nn.Module) -> Run:
        return torch.autocast('cpu', dtype=torch.bfloat16)(step_of(net, x))

    what, goal = 'modulated MLP 760-768-768-656, batch 64', 'at most 1.15x the time'
    return [
        Row(f'{what}, pinned', step_of(bound, x), 'plain layers', step_of(plain, x), goal),
        Row(f'{what}, idle cap', step_of(idle, x), 'plain layers', step_of(plain, x), goal),
        Row(f'{what}, idle cap, bfloat16', half(idle), 'plain layers', half(plain), goal),
        Row(f'{what}, pinned, bfloat16', half(bound), 'plain layers', half(plain), goal),
    ]


def jacobian_rows() -> list[Row]:
    """Compare the largest singular value of the Jacobian, to 1 %, at 8 samples."""
    net = corrector().requires_grad_(False)
    x = torch.randn(8, 760)

    def ours() -> Tensor:
        return largest_gain(net, x).sigma

    def explicit() -> Tensor:
        jacobian = torch.func.vmap(torch.func.jacrev(lambda v: net(v[None])[0]))(x)
        return torch.linalg.matrix_norm(jacobian, 2)

    what = 'largest singular value of the Jacobian, shape of the corrector, 8 samples'
    return [Row(what, ours, 'torch.func.jacrev and SVD', explicit, '3x faster')]


def installed(package: str) -> str:
    """Return the version of an installed package."""
    try:
        return version(package)
    except PackageNotFoundError:
        return 'not installed'


def main() -> None:
    """Measure all rows and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--rounds', type=int, default=5)
    rounds = parser.parse_args().rounds
    torch.set_num_threads(1)
    torch.manual_seed(0)
    print(f'torch {torch.__version__}, one thread, CPU time, median of {rounds} rounds\n')
    print('| what | ours | peer | its time | time of ours / peer | goal |')
    print('|---|---|---|---|---|---|')
    groups = (norm_rows, convolution_rows, modulation_rows, shipped_rows, jacobian_rows)
    for row in (row for group in groups for row in group()):
        times = seconds({'ours': row.ours, 'peer': row.theirs}, rounds)
        ratio = times['ours'] / times['peer']
        print(
            f'| {row.what} | {1e3 * times["ours"]:.3g} ms | {row.peer} | '
            f'{1e3 * times["peer"]:.3g} ms | {ratio:.3g} | {row.goal} |',
            flush=True,
        )


if __name__ == '__main__':
    main()
