"""Run folders: checkpoints, configuration, group, and writing them whole."""
