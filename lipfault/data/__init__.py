"""Recordings on disk, windows, and the LightningDataModule."""
