from .fault_gain_matrix import Box, FaultGain, attack, certify, measure
from .gains.criteria import jacobian_criterion, lipschitz_criterion
from .gains.jacobian import directional_gain, largest_gain, mean_gain, smallest_gain
from .gains.locality import locality_metrics, receptive_field_image
from .gains.pairwise import Gain, pairwise_gains, selectivity, summarize
from .modulation.modulation import (
    fold,
    modulate,
    modulated,
    modulation_report,
    penalty,
    set_progress,
)
from .modulation.targets import LearnedTarget, ModulationRule, ScheduledTarget
from .norms.layer_norms import InputSizes, NormTracker, linear_layers, norm_product
from .norms.norms import Norm, certified_norm, column_norms, estimate_norm, exact_norm
from .propagation.composition import BoundedTensor, Source, module_gain, propagate, rule
from .propagation.lipsdp import LipSDPBound, lipsdp_bound
from .propagation.sectors import Sector

__all__ = [
    'BoundedTensor',
    'Box',
    'FaultGain',
    'Gain',
    'InputSizes',
    'LearnedTarget',
    'LipSDPBound',
    'ModulationRule',
    'Norm',
    'NormTracker',
    'ScheduledTarget',
    'Sector',
    'Source',
    'attack',
    'certified_norm',
    'certify',
    'column_norms',
    'directional_gain',
    'estimate_norm',
    'exact_norm',
    'fold',
    'jacobian_criterion',
    'largest_gain',
    'linear_layers',
    'lipschitz_criterion',
    'lipsdp_bound',
    'locality_metrics',
    'mean_gain',
    'measure',
    'modulate',
    'modulated',
    'modulation_report',
    'module_gain',
    'norm_product',
    'pairwise_gains',
    'penalty',
    'propagate',
    'receptive_field_image',
    'rule',
    'selectivity',
    'set_progress',
    'smallest_gain',
    'summarize',
]
