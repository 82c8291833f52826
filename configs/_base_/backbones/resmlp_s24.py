backbone = dict(type='mmvmlp.ResMLP', arch='s24', out_indices=(-1,), drop_path_rate=0.05)
pyramid = dict(type='mmvmlp.SimplePyramid', in_channels=384, stride=16)
channels = [96, 192, 384, 384]
