"""Sensor faults: a catalogue, seeded draws, labels, schedules and the batched engine.

Everything below can be imported from here; importing the package alone does not import torch.

Example:
    >>> import torch
    >>> from lipfault.faults import inject_faults
    >>> from lipfault.modality import Modality
    >>> imu = Modality('imu', 'series', 100.0, ('x',), ('g',), (-2.0,), (2.0,), (0.01,))
    >>> observed, labels = inject_faults({'imu': torch.zeros(8, 1, 50)}, {'imu': imu}, ['bias'])
    >>> labels.faulty.sum().item()
    8
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
