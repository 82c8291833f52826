"""Programs for developers of mmvmlp."""
