_base_ = ['_base_/classify_vip.py', '_base_/backbones/vip_small7.py']

model = dict(
    backbone=dict(_base_.backbone, out_indices=(-1,)),
    head=dict(in_channels=_base_.channels[-1]),
)
