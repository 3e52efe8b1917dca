"""Ablations of the fault-map block, its training and stage 1."""
