backbone = dict(type='mmvmlp.HireMLP', arch='large', drop_path_rate=0.3)
channels = [96, 192, 384, 768]
