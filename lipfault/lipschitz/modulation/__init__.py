"""Layers whose norms follow a target."""
