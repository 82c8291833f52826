_base_ = ['_base_/upernet_voc.py', '_base_/backbones/hire_mlp_s.py']

model = dict(
    backbone=_base_.upernet_backbone,
    decode_head=dict(in_channels=_base_.channels),
    auxiliary_head=dict(in_channels=_base_.channels[2]),
)
