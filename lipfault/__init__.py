"""Fault-tolerant multimodal learning with measured and bounded sensitivity to faults.

`load` returns a trained run that takes arrays. `lipfault.faults` makes and injects faults,
`lipfault.lipschitz` measures and bounds norms and gains, `lipfault.data` reads and writes
recordings. Names are imported when they are first used, so that `import lipfault` is quick.
"""

import lazy_loader

__version__ = '0.2.0'

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
