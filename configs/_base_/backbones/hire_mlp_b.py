backbone = dict(type='mmvmlp.HireMLP', arch='base', drop_path_rate=0.2)
channels = [64, 128, 320, 512]
