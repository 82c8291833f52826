"""Draw the diagrams of docs/concepts from the layers that they show."""
