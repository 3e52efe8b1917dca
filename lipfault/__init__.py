"""Fault-tolerant multimodal representation learning with measured fault sensitivity."""

from lipfault.version import __version__ as __version__
