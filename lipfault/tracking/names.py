"""Names of W&B projects and metrics, and the norms reported by the paper."""

PROJECT = 'lipfault'
"""Default W&B project; the variable `WANDB_PROJECT` overrides it."""

# Altinses & Schwung (2026), https://arxiv.org/abs/2603.25103
PAPER_NORMS = {'corrector': 0.03, 'detector': 2.0}
"""Products of spectral norms of both modules that the paper reports."""

REFERENCES = {
    f'norm/{module}': (f'paper/norm_{module}', norm) for module, norm in PAPER_NORMS.items()
}
"""Constant logged beside a metric, (name, value), so that a chart draws it as a line."""

PICTURES, TABLE = 'samples/pictures', 'samples/table'
"""Names of the logged sample images, one per modality, and of the table of samples."""

SAMPLE_COLUMNS = ('step', 'modality', 'kind', 'severity', 'energy_left')
"""Columns of the table of samples; `energy_left` as in `lipfault.callbacks.samples`."""
