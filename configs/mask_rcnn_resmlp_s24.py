_base_ = ['_base_/mask_rcnn.py', '_base_/backbones/resmlp_s24.py']

fpn = dict(type='FPN', in_channels={{_base_.channels}}, out_channels=256, num_outs=5)
model = dict(backbone={{_base_.backbone}}, neck=[{{_base_.pyramid}}, fpn])
