# No weight decay for norms, biases, affine layers and LayerScale, including the biases of region
# expansions, which have three dimensions.
without_decay = dict(norm_decay_mult=0.0, bias_decay_mult=0.0, flat_decay_mult=0.0)
