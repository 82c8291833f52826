_base_ = ['_base_/retinanet.py', '_base_/backbones/cycle_mlp_b1.py']

model = dict(backbone=_base_.backbone, neck=dict(in_channels=_base_.channels[1:]))
