_base_ = ['_base_/mask_rcnn.py', '_base_/backbones/cycle_mlp_b2.py']

model = dict(backbone=_base_.backbone, neck=dict(in_channels=_base_.channels))
