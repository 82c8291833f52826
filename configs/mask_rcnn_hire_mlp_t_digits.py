_base_ = '_base_/mask_rcnn_digits.py'

model = dict(
    backbone=dict(type='mmvmlp.HireMLP', arch='tiny'),
    neck=dict(in_channels=[64, 128, 320, 512]),
)
