"""The fault-map block against baselines."""
