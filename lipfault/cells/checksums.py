"""Reference checksums of the long sets."""

REFERENCE: dict[str, tuple[str, str]] = {}
"""Checksums of series and of images by `LongSet.title`. `lipfault data benchmark` prints the line
to add for a set that is not in the table. Empty so far: no set has been made for reference."""
