"""Classical outlier detection on windows."""
