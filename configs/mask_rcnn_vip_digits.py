_base_ = '_base_/mask_rcnn_digits.py'

model = dict(
    backbone=dict(
        type='mmvmlp.ViP',
        arch=dict(
            depths=(2, 2, 2, 2),
            channels=(96, 192, 192, 192),
            strides=(4, 8, 8, 8),
            segments=(24, 24, 24, 24),
            image_size=160,
        ),
        out_indices=(0, -1),
    ),
    neck=[
        dict(type='mmvmlp.SimplePyramid', in_channels=(96, 192), stride=(4, 8)),
        _base_.pyramid_neck[1],
    ],
)
