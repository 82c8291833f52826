backbone = dict(type='mmvmlp.SMLPNet', arch='tiny', drop_path_rate=0.0)
channels = [80, 160, 320, 640]
