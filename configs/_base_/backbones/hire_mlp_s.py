backbone = dict(type='mmvmlp.HireMLP', arch='small', drop_path_rate=0.1)
channels = [64, 128, 320, 512]
# UperNet was released for this network, with another rate than Semantic FPN.
upernet_backbone = dict(backbone, drop_path_rate=0.2)
