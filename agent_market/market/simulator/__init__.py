"""The embedded market: consistent data from one seed, with planted, documented alpha."""
