"""Sweeps without a server: W&B sweep files, run from an Optuna journal shared by processes."""
