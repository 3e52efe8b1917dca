"""Observers of a training run; training is the same with and without them."""
