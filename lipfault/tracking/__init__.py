"""Weights & Biases: the runs of the stages, and the dashboard over runs."""
