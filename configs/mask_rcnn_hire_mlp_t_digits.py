_base_ = '_base_/mask_rcnn_digits.py'

model = dict(
    backbone=dict(
        _delete_=True,
        type='mmvmlp.HireMLP',
        arch='tiny',
        out_norm=True,
        norm_cfg=dict(type='BN'),
    ),
    neck=dict(in_channels=[64, 128, 320, 512]),
)
