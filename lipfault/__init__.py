"""Fault-tolerant multimodal representation learning with measured fault sensitivity."""

__version__ = '0.1.0'
