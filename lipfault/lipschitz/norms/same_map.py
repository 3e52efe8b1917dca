"""Forward passes that are declared to be the linear map of their class."""

from collections.abc import Callable
from typing import TypeVar

from torch import Tensor

DECLARED: set[object] = set()
"""Forward passes declared by `same_map`."""

Forward = TypeVar('Forward', bound=Callable[..., Tensor])


def same_map(forward: Forward) -> Forward:
    """Declare that a forward pass computes the linear map of its class, in another way.

    Args:
        forward: Forward pass of a subclass of a dense or convolutional layer, with the weight and
            bias of the layer as they are.

    Returns:
        The same function.
    """
    DECLARED.add(forward)
    return forward
