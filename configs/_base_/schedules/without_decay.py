# No weight decay on what has one dimension: norms, biases, affine layers and LayerScale. (A region
# expansion's biases have three.)
without_decay = dict(norm_decay_mult=0.0, bias_decay_mult=0.0, flat_decay_mult=0.0)
