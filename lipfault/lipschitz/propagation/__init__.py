"""Certified gains of any path through a model, by propagating intervals and sensitivities."""
