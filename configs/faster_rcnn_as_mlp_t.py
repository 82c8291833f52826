_base_ = ['_base_/faster_rcnn.py', '_base_/backbones/as_mlp_t.py']

model = dict(backbone=_base_.detector_backbone, neck=dict(in_channels=_base_.channels))
