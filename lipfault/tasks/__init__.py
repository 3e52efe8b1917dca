"""LightningModules: losses, optimizers and steps of the two stages."""
