"""Models to predictions, and predictions to files."""
