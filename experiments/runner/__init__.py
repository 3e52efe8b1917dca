"""Runner: trains and tests the runs of experiments, and aggregates their results."""
