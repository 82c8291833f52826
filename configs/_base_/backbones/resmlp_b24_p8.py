# The published weights named B24 are of this patch size.
backbone = dict(type='mmvmlp.ResMLP', arch='b24_p8', out_indices=(-1,), drop_path_rate=0.05)
pyramid = dict(type='mmvmlp.SimplePyramid', in_channels=768, stride=8)
channels = [384, 768, 768, 768]
