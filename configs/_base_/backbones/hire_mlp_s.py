backbone = dict(type='mmvmlp.HireMLP', arch='small', drop_path_rate=0.1)
channels = [64, 128, 320, 512]
# The released UperNet has a different rate from the released Semantic FPN.
upernet_backbone = dict(backbone, drop_path_rate=0.2)
