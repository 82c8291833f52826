_base_ = ['_base_/classify_resmlp_distill.py', '_base_/backbones/resmlp_s24.py']

model = dict(backbone=_base_.backbone, head=dict(in_channels=_base_.channels[-1]))
