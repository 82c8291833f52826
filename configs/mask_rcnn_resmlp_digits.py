_base_ = '_base_/mask_rcnn_digits.py'

model = dict(
    backbone=dict(
        _delete_=True,
        type='mmvmlp.ResMLP',
        arch=dict(depth=8, channels=192, patch_size=8, image_size=160),
        out_indices=(-1,),
        out_norm=True,
    ),
    neck=[
        dict(type='mmvmlp.SimplePyramid', in_channels=192, stride=8),
        dict(
            type='FPN',
            in_channels=[96, 192, 192, 192],
            out_channels={{_base_.width}},
            num_outs=4,
            norm_cfg={{_base_.norm_cfg}},
        ),
    ],
)
