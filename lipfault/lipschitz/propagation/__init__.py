"""Bounds of whole networks, by composition of rules."""
