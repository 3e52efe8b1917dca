"""Experiments, one folder each, and the runner that they share."""
