_base_ = ['_base_/classify_raft_mlp.py', '_base_/backbones/raft_mlp_l.py']

model = dict(backbone=_base_.backbone, head=dict(in_channels=_base_.channels[-1]))
