"""Brook's tables, as anybody's models."""
