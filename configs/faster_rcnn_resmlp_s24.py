_base_ = ['_base_/faster_rcnn.py', '_base_/backbones/resmlp_s24.py']

model = dict(
    backbone=_base_.backbone,
    neck=[_base_.pyramid, dict(_base_.model.neck, in_channels=_base_.channels)],
)
