"""Norms of single layers: estimates and certificates."""
