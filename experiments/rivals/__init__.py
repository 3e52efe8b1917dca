"""Our block against its rivals."""
