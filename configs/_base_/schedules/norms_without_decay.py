# No weight decay on norms, nor on what stands in their place in ResMLP and the deep S2-MLP.
norms_without_decay = dict(
    norm_decay_mult=0.0,
    custom_keys={
        '.norm': dict(decay_mult=0.0),
        '.scale1.': dict(decay_mult=0.0),
        '.scale2.': dict(decay_mult=0.0),
    },
)
