"""The default compute block: fault maps, inpainting, detector."""
