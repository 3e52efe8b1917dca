"""Layers that the autoencoder, the relations and the blocks share."""
