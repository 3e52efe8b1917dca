"""Faults of time series: loss, noise, offset, range, timing."""
