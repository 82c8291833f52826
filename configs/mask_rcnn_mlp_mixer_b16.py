_base_ = ['_base_/mask_rcnn.py', '_base_/backbones/mlp_mixer_b16.py']

model = dict(
    data_preprocessor=_base_.normalization,
    backbone=_base_.backbone,
    neck=[_base_.pyramid, dict(_base_.model.neck, in_channels=_base_.channels)],
)
