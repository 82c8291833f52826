backbone = dict(type='mmvmlp.SMLPNet', arch='small', drop_path_rate=0.2)
channels = [96, 192, 384, 768]
