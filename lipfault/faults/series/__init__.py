"""Faults of time series."""
