_base_ = ['_base_/mask_rcnn_3x.py', '_base_/backbones/as_mlp_s.py']

model = dict(backbone=_base_.detector_backbone, neck=dict(in_channels=_base_.channels))
