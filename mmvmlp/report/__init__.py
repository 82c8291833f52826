"""Reports of trainings: one HTML file with what was trained, how it went, and what it predicts."""
