_base_ = ['_base_/classify.py', '_base_/backbones/hire_mlp_l.py']

model = dict(backbone=_base_.backbone, head=dict(in_channels=_base_.channels[-1]))
