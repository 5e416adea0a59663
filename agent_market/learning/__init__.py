"""Labels, splits and model adapters."""
