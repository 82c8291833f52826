# The last levels of strides 7 and 14.
backbone = dict(type='mmvmlp.ViP', arch='small7', out_indices=(0, -1), drop_path_rate=0.1)
pyramid = dict(type='mmvmlp.SimplePyramid', in_channels=(192, 384), stride=(7, 14))
channels = [96, 192, 384, 384]
