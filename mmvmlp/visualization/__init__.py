"""Drawings of predictions and of training runs."""
