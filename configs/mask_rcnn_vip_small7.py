_base_ = ['_base_/mask_rcnn.py', '_base_/backbones/vip_small7.py']

model = dict(
    backbone=_base_.backbone,
    neck=[_base_.pyramid, dict(_base_.model.neck, in_channels=_base_.channels)],
)
