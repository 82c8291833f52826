_base_ = ['_base_/sem_fpn.py', '_base_/backbones/wave_mlp_t.py']

model = dict(backbone=_base_.backbone, neck=dict(in_channels=_base_.channels))
