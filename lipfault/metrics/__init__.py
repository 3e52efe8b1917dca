"""Metrics of detection, delay and recovery, as functions from tensors to plain numbers."""
