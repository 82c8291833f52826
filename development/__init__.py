"""Programs for those who work on mmvmlp."""
