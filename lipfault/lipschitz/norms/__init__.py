"""Spectral norms of single layers: estimates from below and certificates from above."""
