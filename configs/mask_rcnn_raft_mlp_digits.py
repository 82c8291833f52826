_base_ = '_base_/mask_rcnn_digits.py'

model = dict(
    backbone=dict(
        type='mmvmlp.RaftMLP',
        arch=dict(depths=(2, 2, 4, 2), channels=(48, 96, 192, 384), image_size=160),
    ),
    neck=dict(in_channels=[48, 96, 192, 384]),
)
