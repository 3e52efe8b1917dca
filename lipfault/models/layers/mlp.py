"""Dense layers."""

from itertools import pairwise

from torch import nn


def dense(*sizes: int) -> nn.Sequential:
    """Linear layers of these sizes with GELU between them.

    Example:
        >>> [type(layer).__name__ for layer in dense(3, 4, 2)]
        ['Linear', 'GELU', 'Linear']
    """
    layers: list[nn.Module] = []
    for before, after in pairwise(sizes):
        layers += [nn.Linear(before, after), nn.GELU()]
    return nn.Sequential(*layers[:-1])
