"""How fast the detector learns."""
