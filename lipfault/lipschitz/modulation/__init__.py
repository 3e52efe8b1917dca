"""Layers whose spectral norm is constrained to a target."""
