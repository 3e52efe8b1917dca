"""Callbacks that observe a run; training is bit-identical with and without them."""
