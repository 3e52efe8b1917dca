"""Closed-form relations between channels and between modalities."""
