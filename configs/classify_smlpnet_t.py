_base_ = ['_base_/classify_smlpnet.py', '_base_/backbones/smlpnet_t.py']

model = dict(backbone=_base_.backbone, head=dict(in_channels=_base_.channels[-1]))
