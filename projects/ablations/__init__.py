"""Study of the papers' ablations on the digits, reported in docs/ablations.md."""
