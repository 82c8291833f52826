backbone = dict(type='mmvmlp.MLPMixer', arch='b16', out_indices=(-1,), drop_path_rate=0.1)
pyramid = dict(type='mmvmlp.SimplePyramid', in_channels=768, stride=16)
channels = [192, 384, 768, 768]
# As the published weights expect.
normalization = dict(mean=[127.5, 127.5, 127.5], std=[127.5, 127.5, 127.5])
