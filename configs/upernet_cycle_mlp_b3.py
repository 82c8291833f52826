_base_ = ['_base_/upernet.py', '_base_/backbones/cycle_mlp_b3.py']

model = dict(
    backbone=_base_.backbone,
    decode_head=dict(in_channels=_base_.channels),
    auxiliary_head=dict(in_channels=_base_.channels[2]),
)
