"""One folder per experiment, and the runner that they share."""
