"""Import of data sets of other formats (optional extra `importers`)."""
