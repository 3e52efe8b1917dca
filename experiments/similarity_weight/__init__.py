"""The similarity weight of the block as published."""
