_base_ = ['_base_/classify_mlp_mixer.py', '_base_/backbones/mlp_mixer_b16.py']

model = dict(backbone=_base_.backbone, head=dict(in_channels=_base_.channels[-1]))
