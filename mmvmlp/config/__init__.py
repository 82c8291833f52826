"""Reading, changing and checking the config of a run."""
