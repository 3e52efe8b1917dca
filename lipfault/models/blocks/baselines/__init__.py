"""Baselines of the compute block, behind the same interface: what else can be tried on the data."""
