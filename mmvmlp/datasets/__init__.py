"""Image loading, and a data set of digits that is generated on the spot."""
