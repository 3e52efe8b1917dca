"""Baselines of the compute block, behind the same interface."""
