_base_ = ['_base_/classify_wave_mlp.py', '_base_/backbones/wave_mlp_t.py']

model = dict(backbone=_base_.backbone, head=dict(in_channels=_base_.channels[-1]))
