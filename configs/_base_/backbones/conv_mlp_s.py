backbone = dict(type='mmvmlp.ConvMLP', arch='s', drop_path_rate=0.1)
channels = [64, 128, 256, 512]
# Detectors and segmentors were published without norms of the levels.
dense_backbone = dict(backbone, out_norm=False)
