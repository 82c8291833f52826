_base_ = ['_base_/mask2former.py', '_base_/backbones/resmlp_s24.py']

model = dict(
    backbone=_base_.backbone,
    neck=_base_.pyramid,
    decode_head=dict(in_channels=_base_.channels),
)
