"""Both stages as shipped, on every cell."""
