"""Multilayer perceptrons."""

from itertools import pairwise

from torch import nn


def mlp(*sizes: int) -> nn.Sequential:
    """Build linear layers with GELU between them.

    Args:
        *sizes: Dimensions of the input, of each hidden layer, and of the output.

    Returns:
        A network from (batch, first size) to (batch, last size).

    Example:
        >>> [type(layer).__name__ for layer in mlp(3, 4, 2)]
        ['Linear', 'GELU', 'Linear']
    """
    layers: list[nn.Module] = []
    for before, after in pairwise(sizes):
        layers += [nn.Linear(before, after), nn.GELU()]
    return nn.Sequential(*layers[:-1])
