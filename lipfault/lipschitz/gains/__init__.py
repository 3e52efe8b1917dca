"""Gains of a network along faults, measured or estimated from below."""
