_base_ = ['_base_/mask_rcnn.py', '_base_/backbones/mlp_mixer_b16.py']

fpn = dict(type='FPN', in_channels={{_base_.channels}}, out_channels=256, num_outs=5)
model = dict(
    data_preprocessor={{_base_.normalization}},
    backbone={{_base_.backbone}},
    neck=[{{_base_.pyramid}}, fpn],
)
