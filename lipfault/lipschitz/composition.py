"""Certified gains of any path through a model, with all rules at hand (THEORY 4).

Import from here: it loads the rules that `lipfault.lipschitz.reach` looks up.
"""

from lipfault.lipschitz import rules_linear, rules_pointwise, rules_shape
from lipfault.lipschitz.reach import Reach, Source, module_gain, propagate, rule

RULE_MODULES = (rules_linear, rules_pointwise, rules_shape)

__all__ = ['Reach', 'Source', 'module_gain', 'propagate', 'rule']
