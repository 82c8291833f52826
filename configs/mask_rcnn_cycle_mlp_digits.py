_base_ = '_base_/mask_rcnn_digits.py'

model = dict(
    backbone=dict(
        type='mmvmlp.CycleMLP', arch=dict(depths=(2, 2, 4, 2), channels=(32, 64, 160, 256))
    ),
    neck=dict(in_channels=[32, 64, 160, 256]),
)
