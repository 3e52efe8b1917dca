"""Convergence of the fault detector."""
