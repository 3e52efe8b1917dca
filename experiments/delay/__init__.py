"""Detection delay on continuous recordings."""
