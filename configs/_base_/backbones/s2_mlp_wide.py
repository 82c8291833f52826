backbone = dict(type='mmvmlp.S2MLP', arch='wide', out_indices=(-1,), drop_path_rate=0.1)
pyramid = dict(type='mmvmlp.SimplePyramid', in_channels=768, stride=16)
channels = [192, 384, 768, 768]
