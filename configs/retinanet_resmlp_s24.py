_base_ = ['_base_/retinanet.py', '_base_/backbones/resmlp_s24.py']

fpn = dict(
    type='FPN',
    in_channels={{_base_.channels_from_stride_8}},
    out_channels=256,
    add_extra_convs='on_input',
    num_outs=5,
)
model = dict(backbone={{_base_.backbone}}, neck=[{{_base_.pyramid_from_stride_8}}, fpn])
