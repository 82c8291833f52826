_base_ = ['_base_/dino.py', '_base_/backbones/smlpnet_t.py']

model = dict(backbone=_base_.backbone, neck=dict(in_channels=_base_.channels[1:]))
