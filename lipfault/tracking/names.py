"""Names under which runs stand in W&B, and the figures of the paper beside them."""

PROJECT = 'lipfault'
"""W&B project of runs for which `WANDB_PROJECT` names no other."""

PAPER_NORMS = {'corrector': 0.03, 'detector': 2.0}
"""Norms of both modules that the paper (arXiv 2603.25103) reports."""

REFERENCES = {
    f'norm/{module}': (f'paper/norm_{module}', norm) for module, norm in PAPER_NORMS.items()
}
"""What is logged beside a metric, so that a chart can draw it as a line."""

PICTURES, TABLE = 'samples/pictures', 'samples/table'
"""Names of the logged pictures, one for each modality, and of the table of samples."""

SAMPLE_COLUMNS = ('step', 'modality', 'kind', 'severity', 'left')
"""Columns of the table of samples; `left` as of `lipfault.callbacks.samples`."""
