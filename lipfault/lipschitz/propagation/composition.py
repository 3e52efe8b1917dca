"""Certified gains of any path through a model, with all rules at hand (THEORY 4).

Import from here: it loads the rules that `lipfault.lipschitz.propagation.reach` looks up.
"""

from lipfault.lipschitz.propagation import (
    rules_arithmetic,
    rules_linear,
    rules_normalize,
    rules_pointwise,
    rules_pool,
    rules_shape,
    rules_steep,
)
from lipfault.lipschitz.propagation.reach import Reach, Source, module_gain, propagate, rule

RULE_MODULES = (
    rules_arithmetic,
    rules_linear,
    rules_normalize,
    rules_pointwise,
    rules_pool,
    rules_shape,
    rules_steep,
)

__all__ = ['Reach', 'Source', 'module_gain', 'propagate', 'rule']
