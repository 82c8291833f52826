_base_ = ['_base_/faster_rcnn.py', '_base_/backbones/smlpnet_t.py']

model = dict(backbone=_base_.backbone, neck=dict(in_channels=_base_.channels))
