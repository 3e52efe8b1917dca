"""Robot cells simulated with MuJoCo (optional extra)."""
