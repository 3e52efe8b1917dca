"""Fault gain matrix: effect of a fault on each corrected modality."""
