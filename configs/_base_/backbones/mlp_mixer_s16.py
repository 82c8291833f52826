backbone = dict(type='mmvmlp.MLPMixer', arch='s16', out_indices=(-1,), drop_path_rate=0.1)
pyramid = dict(type='mmvmlp.SimplePyramid', in_channels=512, stride=16)
channels = [128, 256, 512, 512]
# As the published weights expect.
normalization = dict(mean=[127.5, 127.5, 127.5], std=[127.5, 127.5, 127.5])
