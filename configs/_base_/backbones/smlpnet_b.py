backbone = dict(type='mmvmlp.SMLPNet', arch='base', drop_path_rate=0.3)
channels = [112, 224, 448, 896]
