"""Losses, norms and gains over training."""
