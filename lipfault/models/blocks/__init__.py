"""Compute blocks of stage 2: detector, corrector, and what they share."""
