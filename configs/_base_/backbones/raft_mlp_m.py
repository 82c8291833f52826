backbone = dict(type='mmvmlp.RaftMLP', arch='m', drop_path_rate=0.1)
channels = [96, 192, 384, 768]
# Detectors and segmentors were published without norms of the levels and without drop path.
dense_backbone = dict(backbone, drop_path_rate=0.0, out_norm=False)
