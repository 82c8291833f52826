_base_ = ['_base_/sem_fpn.py', '_base_/backbones/cycle_mlp_b3.py']

model = dict(backbone=_base_.backbone, neck=dict(in_channels=_base_.channels))
