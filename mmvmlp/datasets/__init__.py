"""Image loading, and a generated data set of digits."""
