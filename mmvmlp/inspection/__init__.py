"""Look inside networks: receptive fields, mixing weights, phases, feature maps, activations."""
