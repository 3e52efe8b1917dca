"""Run folders: layout, checkpoints, configuration, group, and atomic writing of files."""
