"""What leaves a run for Weights & Biases: the runs themselves, and the dashboard over them."""
