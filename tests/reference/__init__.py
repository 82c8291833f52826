"""Slow, literal transcriptions of the papers' formulas, for comparison only."""
