_base_ = '_base_/mask_rcnn_digits.py'

model = dict(
    backbone=dict(
        type='mmvmlp.MLPMixer',
        arch=dict(depth=8, channels=192, patch_size=8, image_size=160),
        out_indices=(-1,),
    ),
    neck={{_base_.pyramid_neck}},
)
