"""Lipschitz toolkit: norms, certificates, Jacobians and modulation, on torch alone.

The functions here take any `nn.Module` and work without the rest of the package:

- Norms of a layer: `estimate_norm` (from below), `exact_norm`, `certified_norm` (from above),
  `column_norms` (per modality).
- Bounds from above of a network: `module_gain`, `propagate` over `Source`s, `lipsdp_bound`.
- Gains at given inputs: `largest_gain`, `smallest_gain`, `mean_gain`, `pairwise_gains`.
- Control in training: `modulate`, `set_progress`, `penalty`; `fold` for export.

Everything is imported on first use, so importing this package does not import torch.

Example:
    Cap every layer of a network, and certify its Lipschitz constant from above:

    >>> import torch
    >>> import lipfault.lipschitz as lip
    >>> net = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.ReLU(), torch.nn.Linear(8, 2))
    >>> layers = lip.modulate(net, {'*': {'mode': 'cap', 'target': 0.5}})
    >>> [layer.name for layer in layers]
    ['0', '2']
    >>> bound = lip.module_gain(net, (1, 4))
    >>> estimate = float(lip.largest_gain(net.eval(), torch.zeros(3, 4)).sigma.max())
    >>> estimate <= bound <= 0.2501
    True
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
