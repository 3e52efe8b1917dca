"""Certified gains of any path through a model, with all rules registered.

Import `propagate` and `module_gain` from here: importing a module of rules registers them for
`lipfault.lipschitz.propagation.bounded_tensor`. See docs/theory.md, section 4 (composition).
"""

# Imported for the registration of their rules.
from lipfault.lipschitz.propagation import (  # noqa: F401
    rules_arithmetic,
    rules_gated,
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

__all__ = ['BoundedTensor', 'Source', 'module_gain', 'propagate', 'rule']
