_base_ = ['_base_/mask2former.py', '_base_/backbones/wave_mlp_s.py']

model = dict(backbone=_base_.backbone, decode_head=dict(in_channels=_base_.channels))
