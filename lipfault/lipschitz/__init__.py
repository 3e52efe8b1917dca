"""Norms, Jacobians, certificates and modulation: mathematics on torch, without Lightning."""
