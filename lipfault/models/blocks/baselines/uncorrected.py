"""The autoencoder of stage 1 alone, without correction."""

from lipfault.models.blocks.baselines.base import ClosedFormBlock


class UncorrectedBlock(ClosedFormBlock):
    """Takes the reconstruction of stage 1 as corrected signal and its error as score.

    Reference:
        Sakurada and Yairi 2014, *Anomaly Detection Using Autoencoders with Nonlinear Dimensionality
        Reduction*, https://doi.org/10.1145/2689746.2689747.
    """
