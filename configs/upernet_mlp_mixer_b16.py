_base_ = ['_base_/upernet.py', '_base_/backbones/mlp_mixer_b16.py']

model = dict(
    data_preprocessor=_base_.normalization,
    backbone=_base_.backbone,
    neck=_base_.pyramid,
    decode_head=dict(in_channels=_base_.channels),
    auxiliary_head=dict(in_channels=_base_.channels[2]),
)
