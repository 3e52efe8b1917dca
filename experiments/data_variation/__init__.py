"""Variation of the shipped recordings."""
