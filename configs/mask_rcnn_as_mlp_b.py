_base_ = ['_base_/mask_rcnn_multiscale.py', '_base_/backbones/as_mlp_b.py']

model = dict(backbone=_base_.detector_backbone, neck=dict(in_channels=_base_.channels))
