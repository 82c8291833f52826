backbone = dict(type='mmvmlp.S2MLP', arch='deep', out_indices=(-1,), drop_path_rate=0.1)
pyramid = dict(type='mmvmlp.SimplePyramid', in_channels=384, stride=16)
channels = [96, 192, 384, 384]
