"""Looking at models and their training: predictions drawn, contact sheets, curves."""
