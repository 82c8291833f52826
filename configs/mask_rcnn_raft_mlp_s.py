_base_ = ['_base_/mask_rcnn.py', '_base_/backbones/raft_mlp_s.py']

model = dict(backbone=_base_.dense_backbone, neck=dict(in_channels=_base_.channels))
optim_wrapper = dict(optimizer=dict(weight_decay=1e-4))
