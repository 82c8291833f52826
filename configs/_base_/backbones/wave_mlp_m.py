backbone = dict(type='mmvmlp.WaveMLP', arch='m', drop_path_rate=0.1)
channels = [64, 128, 320, 512]
