_base_ = ['_base_/sem_fpn.py', '_base_/backbones/s2_mlp_deep.py']

fpn = dict(type='FPN', in_channels={{_base_.channels}}, out_channels=256, num_outs=4)
model = dict(backbone={{_base_.backbone}}, neck=[{{_base_.pyramid}}, fpn])
