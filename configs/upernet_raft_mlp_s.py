_base_ = ['_base_/upernet.py', '_base_/backbones/raft_mlp_s.py']

model = dict(
    backbone=_base_.dense_backbone,
    decode_head=dict(in_channels=_base_.channels),
    auxiliary_head=dict(in_channels=_base_.channels[2]),
)
