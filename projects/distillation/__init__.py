"""Study of distillation on the digits, reported in docs/distillation.md."""
