_base_ = ['_base_/classify_resmlp.py', '_base_/backbones/resmlp_b24_p8.py']

model = dict(backbone=_base_.backbone, head=dict(in_channels=_base_.channels[-1]))
