"""Weight of the similarity loss in the block as published."""
