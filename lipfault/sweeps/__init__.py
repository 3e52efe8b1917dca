"""Sweeps without a server: the sweep files of W&B, run from a journal that processes share."""
