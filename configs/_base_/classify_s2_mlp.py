# S2-MLP has no final norm.
_base_ = 'classify.py'

model = dict(backbone=dict(out_norm=False))
