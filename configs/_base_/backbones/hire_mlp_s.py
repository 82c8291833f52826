backbone = dict(type='mmvmlp.HireMLP', arch='small', drop_path_rate=0.1)
channels = [64, 128, 320, 512]
channels_from_stride_8 = channels[1:]
# The released UperNet has a different rate from the released Semantic FPN.
upernet_backbone = dict(backbone, drop_path_rate=0.2)
