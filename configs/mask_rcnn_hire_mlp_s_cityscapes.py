_base_ = ['_base_/mask_rcnn_cityscapes.py', '_base_/backbones/hire_mlp_s.py']

model = dict(backbone=_base_.backbone, neck=dict(in_channels=_base_.channels))
