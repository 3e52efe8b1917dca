"""Locality of faults in convolutional and dense encoders."""
