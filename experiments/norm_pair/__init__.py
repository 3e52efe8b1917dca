"""The norms of the paper, and what they cost."""
