_base_ = ['_base_/classify_s2_mlp.py', '_base_/backbones/s2_mlp_deep.py']

model = dict(backbone=_base_.backbone, head=dict(in_channels=_base_.channels[-1]))
