backbone = dict(type='mmvmlp.CycleMLP', arch='b1', drop_path_rate=0.1)
channels = [64, 128, 320, 512]
