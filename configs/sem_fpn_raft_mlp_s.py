_base_ = ['_base_/sem_fpn.py', '_base_/backbones/raft_mlp_s.py']

model = dict(backbone=_base_.dense_backbone, neck=dict(in_channels=_base_.channels))
