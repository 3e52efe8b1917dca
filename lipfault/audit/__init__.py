"""Audit of a data set: name broken sensors by episode and channel."""
