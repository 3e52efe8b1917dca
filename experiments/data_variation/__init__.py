"""How much the recordings vary."""
