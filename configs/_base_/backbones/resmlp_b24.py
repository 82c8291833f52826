# Patch size 16. The published weights of this width are those of resmlp_b24_p8.py.
backbone = dict(type='mmvmlp.ResMLP', arch='b24', out_indices=(-1,), drop_path_rate=0.05)
pyramid = dict(type='mmvmlp.SimplePyramid', in_channels=768, stride=16)
channels = [192, 384, 768, 768]
