"""Our block against its baselines."""
