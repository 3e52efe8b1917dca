"""Recordings on disk, windows of recordings, and the LightningDataModule.

The names are imported on first use: reading a recording needs neither torch nor Lightning.

Example:
    Write a recording of one episode and read it back:

    >>> import tempfile
    >>> import numpy as np
    >>> from lipfault.data import Episode, Recording, write_recording
    >>> from lipfault.modality import Modality
    >>> arm = Modality('arm', 'series', 100.0, ('q1',), ('rad',), (-3.1,), (3.1,), (0.001,))
    >>> episode = Episode('first', {'arm': np.zeros((500, 1), np.float32)})
    >>> path = tempfile.mkdtemp() + '/arm.h5'
    >>> write_recording(path, [arm], [episode])
    1
    >>> Recording(path).read(episode=0, modality='arm', start=0, stop=100).shape
    (100, 1)
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
