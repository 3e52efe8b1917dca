"""Faults of images: blur, exposure, geometry, lens, noise, stream."""
