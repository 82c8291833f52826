_base_ = ['_base_/cascade_mask_rcnn_multiscale.py', '_base_/backbones/as_mlp_b.py']

model = dict(backbone=_base_.cascade_backbone, neck=dict(in_channels=_base_.channels))
