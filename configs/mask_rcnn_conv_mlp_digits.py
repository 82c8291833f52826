_base_ = '_base_/mask_rcnn_digits.py'

model = dict(
    backbone=dict(
        type='mmvmlp.ConvMLP', arch=dict(depths=(2, 2, 4, 2), channels=48, mlp_ratio=2.0)
    ),
    neck=dict(in_channels=[48, 96, 192, 384]),
)
