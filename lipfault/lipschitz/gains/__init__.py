"""Gains of a network along faults, measured."""
