# No weight decay on norms and biases, nor on what stands in the norms' place in ResMLP and the deep
# S2-MLP.
without_decay = dict(
    norm_decay_mult=0.0,
    bias_decay_mult=0.0,
    custom_keys={
        '.norm': dict(decay_mult=0.0),
        '.scale1.': dict(decay_mult=0.0),
        '.scale2.': dict(decay_mult=0.0),
    },
)
