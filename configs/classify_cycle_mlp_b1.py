_base_ = ['_base_/classify_cycle_mlp.py', '_base_/backbones/cycle_mlp_b1.py']

model = dict(backbone=_base_.backbone, head=dict(in_channels=_base_.channels[-1]))
