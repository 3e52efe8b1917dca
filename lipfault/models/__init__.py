"""Networks, usable without Lightning."""
