_base_ = ['_base_/dino.py', '_base_/backbones/wave_mlp_s.py']

model = dict(backbone=_base_.backbone, neck=dict(in_channels=_base_.channels[1:]))
