"""One reader for each source format; the table of their names is in `registry.py`."""
