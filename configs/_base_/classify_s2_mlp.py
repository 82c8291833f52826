# S2-MLP has no norm in front of its linear layer.
_base_ = 'classify.py'

model = dict(backbone=dict(out_norm=False))
