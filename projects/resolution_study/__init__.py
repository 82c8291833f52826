"""How networks made for one image size do at others: the study behind docs/resolution.md."""
