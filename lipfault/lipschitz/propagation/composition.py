"""Certified gains of any path through a model, with all rules at hand (THEORY 4).

Import from here: it loads the rules that `lipfault.lipschitz.propagation.bounded_tensor` looks up.
"""

from lipfault.lipschitz.propagation import (
    rules_arithmetic,
    rules_linear,
    rules_locally_lipschitz,
    rules_normalize,
    rules_pointwise,
    rules_pool,
    rules_shape,
)
from lipfault.lipschitz.propagation.bounded_tensor import (
    BoundedTensor,
    Source,
    module_gain,
    propagate,
    rule,
)

RULE_MODULES = (
    rules_arithmetic,
    rules_linear,
    rules_normalize,
    rules_pointwise,
    rules_pool,
    rules_shape,
    rules_locally_lipschitz,
)

__all__ = ['BoundedTensor', 'Source', 'module_gain', 'propagate', 'rule']
