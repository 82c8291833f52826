"""Study that trains a small detector of each family for equal time."""
