_base_ = ['_base_/cascade_mask_rcnn_3x.py', '_base_/backbones/as_mlp_s.py']

model = dict(backbone=_base_.cascade_3x_backbone, neck=dict(in_channels=_base_.channels))
