"""Study of fixed-size networks at other image sizes, reported in docs/resolution.md."""
