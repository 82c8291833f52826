"""Complexity and memory of models."""
