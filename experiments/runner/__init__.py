"""Runs the experiments, run by run, and puts their figures together."""
