"""Load, change and check the config of a run."""
