"""Alpha expressions judged: scores, pool, sealed vault, and search."""
