"""How late a fault is found."""
