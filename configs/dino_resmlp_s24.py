_base_ = ['_base_/dino.py', '_base_/backbones/resmlp_s24.py']

model = dict(
    backbone=_base_.backbone,
    neck=[
        dict(_base_.pyramid, out_strides=(8, 16, 32)),
        dict(_base_.model.neck, in_channels=_base_.channels[1:]),
    ],
)
