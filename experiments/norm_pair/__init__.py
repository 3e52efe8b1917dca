"""The paper's pair of norms, and its cost."""
