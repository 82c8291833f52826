backbone = dict(type='mmvmlp.ConvMLP', arch='l', drop_path_rate=0.1)
channels = [96, 192, 384, 768]
# Detectors and segmentors were published without norms of the levels.
dense_backbone = dict(backbone, out_norm=False)
