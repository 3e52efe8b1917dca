"""Figures of the paper that runs are compared with."""

PAPER_NORMS = {'corrector': 0.03, 'detector': 2.0}
"""Norms of both modules that the paper (arXiv 2603.25103) reports."""
