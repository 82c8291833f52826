backbone = dict(type='mmvmlp.RaftMLP', arch='l', drop_path_rate=0.1)
channels = [128, 192, 512, 1024]
# Detectors and segmentors were published without norms of the levels and without drop path.
dense_backbone = dict(backbone, drop_path_rate=0.0, out_norm=False)
