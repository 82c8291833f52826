backbone = dict(type='mmvmlp.HireMLP', arch='tiny', drop_path_rate=0.0)
channels = [64, 128, 320, 512]
